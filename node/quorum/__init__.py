"""Quorums in a running node: how one is agreed on, and how its members train together."""
