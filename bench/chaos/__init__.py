"""Faults in real processes: what breaks, how long until all goes on, and that the bits are those of nothing broken."""
