"""The volunteer's client: registers, trains batches of a gateway, uploads what it found (docs/GATEWAY.md)."""
