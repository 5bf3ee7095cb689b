"""A simulated network: the nodes' own rules of forming, modes, sessions, sync and audit, on made-up machines and links."""
