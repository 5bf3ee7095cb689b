"""One model trained in stages: who holds what, in which order they work, and how a fault is pinned to one of them."""
