"""Disputes: what this node challenges, and what it answers."""
