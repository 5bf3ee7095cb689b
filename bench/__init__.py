"""Measurements. Nothing here is a test: speed is always a ratio against a reference in the same run."""
