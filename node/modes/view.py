"""What a node knows about the network: nodes, quorums, layers. Written to the home folder, read by the commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from consensus.quorum.coverage import count_holders, scarcities, wanted_replicas
from consensus.quorum.parts import Span, part_count, part_name
from consensus.quorum.peers import Peer
from consensus.quorum.tiers import tier_of
from node import paths
from node.errors import DataError

VIEW_NAME = "network.json"
VIEW_LIMIT = 16 << 20
"""Bytes; the most nodes and quorums that a view takes stay below."""
NODES_MAX, QUORUMS_MAX, PARTS_MAX = 10_000, 5_000, 4_096

Account = Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{40}$")]
Words = Annotated[str, Field(max_length=300)]
Count = Annotated[int, Field(ge=0, le=1 << 62)]
Part = Annotated[int, Field(ge=0, le=PARTS_MAX)]


class Range(BaseModel):
    """Parts ``start`` to ``stop - 1``; see ``consensus.quorum.parts``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    start: Part
    stop: Part

    @model_validator(mode="after")
    def _holds_something(self) -> Range:
        if self.start >= self.stop:
            raise ValueError("a range holds one part at least")
        return self

    @property
    def span(self) -> Span:
        """The same for the rules."""
        return Span(self.start, self.stop)


class NodeRow(BaseModel):
    """One node, from its signed record and its heartbeats. Times in Unix seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    account: Account
    peer_id: Words = ""
    addresses: Annotated[list[Words], Field(max_length=16)] = []
    mode: Words = ""
    why: Words = ""
    layer_us: Count = 0
    """Microseconds a layer; 0: not measured yet."""
    link_us: Count = 0
    memory: Count = 0
    held: Range | None = None
    shards: Count = 0
    presence: Literal["online", "stale", "offline"] = "online"
    last_heartbeat: Count = 0
    aside: bool = False
    """Takes no seat in a quorum."""

    @property
    def tier(self) -> int:
        """1 to 5; 0 while it is not measured."""
        return tier_of(self.layer_us) if self.layer_us else 0

    @property
    def peer(self) -> Peer:
        """The node as the rules take it."""
        held = None if self.held is None else self.held.span
        return Peer(bytes.fromhex(self.account[2:]), self.layer_us, self.link_us, held, self.memory)


class SeatRow(BaseModel):
    """One member of a quorum and the parts that it runs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    account: Account
    parts: Range


class QuorumRow(BaseModel):
    """One quorum. Times in Unix seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[str, Field(pattern=r"^0x[0-9a-f]{64}$")]
    initiator: Account
    state: Words
    why: Words = ""
    began: Count = 0
    ends: Count = 0
    batches: Count = 0
    renewals: Count = 0
    seats: Annotated[list[SeatRow], Field(max_length=16)] = []


class LayerRow(BaseModel):
    """One part of the model: who holds it and how scarce it is."""

    part: int
    name: str
    holders: list[str]
    wanted: int
    scarcity: float
    """0 to 1."""


class NetworkView(BaseModel):
    """All that one node knows at one moment. ``layers`` of the model, embedding and head not counted."""

    model_config = ConfigDict(extra="forbid")

    updated: float = 0.0
    account: str = ""
    """Of the node whose view it is."""
    layers: Annotated[int, Field(ge=1, le=PARTS_MAX - 2)]
    arch_version: Count = 0
    vocab_version: Count = 0
    nodes: Annotated[list[NodeRow], Field(max_length=NODES_MAX)] = []
    quorums: Annotated[list[QuorumRow], Field(max_length=QUORUMS_MAX)] = []

    def online(self) -> list[NodeRow]:
        """Nodes that are neither stale nor offline."""
        return [node for node in self.nodes if node.presence == "online"]

    def counts(self, without: str = "") -> list[int]:
        """Holders of each part among nodes that are not offline; ``without`` leaves one account out."""
        rows = [n for n in self.nodes if n.presence != "offline" and n.account.lower() != without.lower()]
        return count_holders((n.held.span for n in rows if n.held), part_count(self.layers))

    def layer_rows(self) -> list[LayerRow]:
        """Every part with its holders and its scarcity."""
        rows = [node for node in self.nodes if node.presence != "offline"]
        held = [(node.account, node.held.span) for node in rows if node.held]
        nodes, parts = max(1, len(self.online())), part_count(self.layers)
        scarce = scarcities(self.counts(), nodes)
        return [
            LayerRow(
                part=part,
                name=part_name(part, parts),
                holders=[account for account, span in held if part in span],
                wanted=wanted_replicas(nodes),
                scarcity=round(scarce[part] / 10**18, 4),
            )
            for part in range(parts)
        ]

    def quorum_of(self, account: str) -> QuorumRow | None:
        """The quorum that an account is in."""
        wanted = account.lower()
        living = (one for one in self.quorums if one.state != "dissolved")
        return next((one for one in living if any(seat.account.lower() == wanted for seat in one.seats)), None)


def write_view(home: Path, view: NetworkView) -> None:
    """Replace the view in the home folder.

    Raises:
        DiskError: it cannot be written.
    """
    paths.write_atomic(home / VIEW_NAME, view.model_dump_json().encode())


def read_view(home: Path) -> NetworkView | None:
    """The view that stands in the home folder; None when no node has written one.

    Raises:
        DataError: the file is not a view.
        DiskError: it cannot be read or is too large.
    """
    path = home / VIEW_NAME
    try:
        return NetworkView.model_validate_json(paths.read_bounded(path, VIEW_LIMIT))
    except FileNotFoundError:
        return None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(step) for step in first["loc"])
        raise DataError(
            f"{path} is no view of the network: {place or 'the file'}: {first['msg'].lower()}.",
            "A running node writes it anew; delete the file if none runs.",
        ) from error
