"""Versions of the vocabulary in a running node: read from the chain, checked, and turned into what a round runs."""
