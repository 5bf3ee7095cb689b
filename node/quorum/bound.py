"""What this node is bound to, in a file: it outlives the process, so that a claim trained by a quorum stays its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from google.protobuf.message import DecodeError
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from node import paths
from node.logs import get_logger
from node.net.wire.quorum_pb2 import Plan as PlanMessage
from node.quorum.plan import Plan, PlanError

log = get_logger("teams")
NAME: Final = "bound.json"
KEPT: Final = 2
"""The session at hand, and the one before it while a round of that may not be posted yet."""


@dataclass
class Binding:
    """A session that all have agreed on. ``number``: on chain, 0 without one; ``began``: when the first of its terms
    did; ``trained``: the last round whose work is done here; ``batches``: steps trained in this term."""

    plan: Plan
    number: int
    began: int
    trained: int = 0
    batches: int = 0
    left: bool = False
    """Whether the node is free of it; its claim may still have to be posted."""


@dataclass
class Bindings:
    """The newest sessions, the newest last, and the last round that the node began to train alone."""

    all: list[Binding] = field(default_factory=list)
    alone: int = 0

    def save(self, folder: Path) -> None:
        """Replace the file. Raises DiskError."""
        rows = [
            _Row(
                plan=one.plan.message().SerializeToString().hex(),
                number=one.number,
                began=one.began,
                trained=one.trained,
                batches=one.batches,
                left=one.left,
            )
            for one in self.all
        ]
        paths.write_atomic(folder / NAME, _File(alone=self.alone, sessions=rows).model_dump_json().encode())

    @classmethod
    def load(cls, folder: Path) -> Bindings:
        """What stands in the file; nothing where there is none, or none of ours. Raises DiskError: unreadable."""
        try:
            file = _File.model_validate_json(paths.read_bounded(folder / NAME))
            return cls([row.binding() for row in file.sessions], file.alone)
        except FileNotFoundError:
            return cls()
        except (ValidationError, DecodeError, PlanError, ValueError) as error:
            log.warning("what this node was bound to cannot be read; it begins anew", reason=str(error)[:200])
            return cls()


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid")

    plan: str = Field(max_length=1 << 16)
    number: int = Field(ge=0)
    began: int = Field(ge=0)
    trained: int = Field(ge=0)
    batches: int = Field(ge=0)
    left: bool

    def binding(self) -> Binding:
        plan = Plan.of(PlanMessage.FromString(bytes.fromhex(self.plan)))
        return Binding(plan, self.number, self.began, self.trained, self.batches, self.left)


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    alone: int = Field(ge=0)
    sessions: list[_Row] = Field(max_length=KEPT)
