"""The chain: artifacts, client, typed contracts, deployment, development chains."""
