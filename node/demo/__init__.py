"""A whole network on this machine, from an empty chain to a slashed cheat: `make demo`."""
