"""Where this node stands: the open round, what it holds of the state that it starts from, and what led to it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from consensus.commitments.tensors import global_root
from consensus.training.outer import GlobalState
from node.cohort.contribution import Opening
from node.errors import CheckpointError
from node.paths import read_bounded, write_atomic
from node.storage.checkpoints import GLOBAL_GROUPS, Checkpoint, CheckpointStore
from node.storage.tensorfile import Shapes

OPENINGS_KEPT: Final = 64
"""Rounds whose start a contribution can be from."""
STATES_KEPT: Final = 2
_NAME: Final = "standing.json"


class _Opening(BaseModel):
    round: int
    root: str
    at: int


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")
    number: int
    openings: list[_Opening]
    voters: list[str]
    counted: list[tuple[str, int]]


@dataclass(frozen=True)
class Standing:
    """`state`: own parts of the state that round `number` opened with. `openings` by round, `number` among them;
    `voters`: accounts, rising; `counted`: (source, base) of what counted before."""

    number: int
    state: GlobalState
    openings: dict[int, Opening]
    voters: tuple[bytes, ...]
    counted: frozenset[tuple[bytes, int]] = frozenset()

    @property
    def opening(self) -> Opening:
        """Of the open round."""
        return self.openings[self.number]

    def next(
        self, state: GlobalState, opening: Opening, voters: tuple[bytes, ...], counted: set[tuple[bytes, int]]
    ) -> Self:
        """The round after."""
        number = self.number + 1
        openings = {n: one for n, one in self.openings.items() if n > number - OPENINGS_KEPT} | {number: opening}
        known = frozenset((source, base) for source, base in self.counted | counted if base in openings)
        voters = voters or self.voters
        return replace(self, number=number, state=state, openings=openings, voters=voters, counted=known)


class StandingStore:
    """Standings on disk; the newest counts. One process writes at a time."""

    def __init__(self, folder: Path, shapes: Shapes) -> None:
        self._folder = folder
        self._states = CheckpointStore(folder / "states", shapes, global_root, GLOBAL_GROUPS)

    def state_path(self, number: int) -> Path:
        """The file that holds the state which a round opened with."""
        return self._states.path(number, 0)

    def save(self, standing: Standing) -> None:
        """The state first, then what names it. Raises DiskError."""
        groups = {"weights": standing.state.weights, "velocity": standing.state.velocity}
        root = global_root(standing.state.weights, standing.state.velocity)
        self._states.save(Checkpoint(standing.number, 0, root, groups))
        record = _Record(
            number=standing.number,
            openings=[_Opening(round=n, root=o.root.hex(), at=o.at) for n, o in sorted(standing.openings.items())],
            voters=[voter.hex() for voter in standing.voters],
            counted=[(source.hex(), base) for source, base in sorted(standing.counted)],
        )
        write_atomic(self._folder / _NAME, record.model_dump_json().encode())
        self._states.drop_before(standing.number - STATES_KEPT + 1)

    def load(self) -> Standing | None:
        """The newest standing, or None. Raises CheckpointError: it is damaged. DiskError."""
        path = self._folder / _NAME
        try:
            record = _Record.model_validate_json(read_bounded(path))
            checkpoint = self._states.load(self.state_path(record.number))
            return Standing(
                record.number,
                GlobalState(dict(checkpoint.groups["weights"]), dict(checkpoint.groups["velocity"])),
                {o.round: Opening(bytes.fromhex(o.root), o.at) for o in record.openings},
                tuple(bytes.fromhex(voter) for voter in record.voters),
                frozenset((bytes.fromhex(source), base) for source, base in record.counted),
            )
        except (ValidationError, ValueError) as error:
            raise CheckpointError(
                f"{path} is damaged.", "Remove its folder; the state is fetched from peers."
            ) from error
        except FileNotFoundError:
            return None
