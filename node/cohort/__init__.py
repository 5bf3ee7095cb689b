"""Rounds of all who hold a layer, in every quorum or alone: which updates count, and the state that follows."""
