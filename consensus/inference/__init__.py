"""Answers that anyone can recompute: what was asked, the draws, the decoding."""
