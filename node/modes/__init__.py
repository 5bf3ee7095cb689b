"""What this machine can do, what the network needs, and the mode that follows."""
