"""The peer network: who is there, what they announce, and bytes between them."""
