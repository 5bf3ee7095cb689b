"""A simulated network: the nodes' own rules of quorums, modes, sync and audit, on made-up machines and links."""
