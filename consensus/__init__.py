"""Every bit that all honest nodes must agree on. Pure: no clock, network, disk or chain; import the room you need."""
