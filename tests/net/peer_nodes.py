"""Peer processes for tests: accounts made of numbers, stakes in a file, everything on loopback."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from bench.accounts import NumberedAccount as Signer
from economics.constants import MIN_STAKE
from node.net.client import Network
from node.net.settings import NetSettings, StakeSource

T = TypeVar("T")
NETWORK = "ab" * 32
OTHER_NETWORK = "cd" * 32


def stake_file(folder: Path, *staked: int) -> Path:
    """A table in which the numbered accounts hold the least stake."""
    path = folder / "stakes.json"
    path.write_text(json.dumps({Signer(number).address: int(MIN_STAKE) for number in staked}))
    return path


def settings(folder: Path, name: str, *bootstrap: str, **changes: Any) -> NetSettings:
    """Settings of one node; `stakes.json` of the folder says who is staked."""
    source = StakeSource(file=folder / "stakes.json")
    fields = {"home": folder / name, "network": NETWORK, "bootstrap": list(bootstrap), "stakes": source}
    return NetSettings(**(fields | changes))


def until(condition: Callable[[], T], seconds: float = 40.0) -> T:
    """The first true value of the condition; fails the test when none comes in time."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.05)


def ids(network: Network) -> set[str]:
    """The connected peers."""
    return {peer.id for peer in network.peers()}
