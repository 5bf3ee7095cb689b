"""What every event of the contracts has: its place on the chain."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Event:
    """Where an event stands: contract address, block number, transaction hash (32 bytes), index within the block."""

    contract: str
    block: int
    tx_hash: bytes
    log_index: int
