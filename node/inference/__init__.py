"""Serving the model: exact answers, in batches, for money or for nothing."""
