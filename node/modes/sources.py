"""Where a view of the network comes from."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from consensus.quorum.presence import presence
from economics.networks import MAINNET_TIMES, QuorumTimes
from node.modes.view import NODES_MAX, QUORUMS_MAX, NetworkView, NodeRow, QuorumRow, read_view


class ViewSource(Protocol):
    """Gives what is known of the network now."""

    def view(self) -> NetworkView | None:
        """The newest view; None while nothing is known."""


@dataclass(frozen=True)
class FileSource:
    """The file that a running node writes into its home folder.

    ``view`` raises DataError or DiskError as ``read_view`` does.
    """

    home: Path

    def view(self) -> NetworkView | None:
        """See ``ViewSource``."""
        return read_view(self.home)


@dataclass(frozen=True)
class RecordSource:
    """Signed records of nodes and quorums, as the peer network keeps them.

    ``nodes`` and ``quorums`` give the newest record of each account and quorum, already checked; presence is decided
    here from the heartbeats. ``clock`` in Unix seconds. What a view cannot take is left out, oldest heartbeat first.
    """

    layers: int
    nodes: Callable[[], Iterable[NodeRow]]
    clock: Callable[[], float]
    quorums: Callable[[], Iterable[QuorumRow]] = tuple
    account: str = ""
    arch_version: int = 0
    vocab_version: int = 0
    times: QuorumTimes = MAINNET_TIMES

    def view(self) -> NetworkView:
        """See ``ViewSource``."""
        now = int(self.clock())
        newest = sorted(self.nodes(), key=lambda row: (-row.last_heartbeat, row.account.lower()))
        states = [(row, presence(row.last_heartbeat, now, self.times)) for row in newest[:NODES_MAX]]
        rows = [row.model_copy(update={"presence": state.value}) for row, state in states]
        return NetworkView(
            updated=self.clock(),
            account=self.account,
            layers=self.layers,
            arch_version=self.arch_version,
            vocab_version=self.vocab_version,
            nodes=sorted(rows, key=lambda row: row.account.lower()),
            quorums=sorted(self.quorums(), key=lambda row: row.id)[:QUORUMS_MAX],
        )
