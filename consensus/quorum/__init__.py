"""Who does what: tiers, layers held, quorums, sessions, modes. Pure rules; nodes and the simulator run the same."""
