"""What this node contributes: its updates encoded, what the encodings left out, and both safe on disk before anybody
hears of them.

One file is the whole memory: the residual of error feedback as tensors, and in its metadata what is still to be
counted. It is replaced before a contribution is announced, so after a stop the same bytes are sent again and nothing is
left out twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor

from consensus.aggregation.compression import Codec, ErrorFeedback, decode_update, encoded_size
from consensus.commitments.tensors import tensor_set_root
from node.cohort.contribution import CODECS
from node.errors import DiskError
from node.logs import get_logger
from node.net.wire.quorum_pb2 import Plan as PlanMessage
from node.paths import private_folder, read_bounded, write_atomic
from node.quorum.plan import Plan
from node.storage.errors import TensorFileError
from node.storage.tensorfile import load_tensors, save_tensors

log = get_logger("cohort")
TRIES: Final = 2
"""Rounds in which a contribution may come to count: its own, and the one after."""
_NAME: Final = "residual.safetensors"


class Pending(BaseModel):
    """An encoded update that has not been counted yet. `plan`: of the quorum that trained it, as hex of its message, or
    empty."""

    model_config = ConfigDict(frozen=True)
    base: int
    batches: int
    codec: int
    update_root: str
    plan: str = ""
    tries: int = 0

    def quorum(self) -> Plan | None:
        """The quorum that trained it."""
        return Plan.of(PlanMessage.FromString(bytes.fromhex(self.plan))) if self.plan else None


class _Memory(BaseModel):
    pending: list[Pending] = []


@dataclass
class Outbox:
    """The updates of one node for the tensors of `shapes`. Used by one thread."""

    folder: Path
    shapes: Mapping[str, tuple[int, ...]]
    codec: Codec

    def __post_init__(self) -> None:
        private_folder(self.folder)
        self._left: dict[str, Tensor] = {name: torch.zeros(shape) for name, shape in self.shapes.items()}
        self.pending: list[Pending] = []
        self._load()

    def put(self, base: int, batches: int, update: Mapping[str, Tensor], plan: Plan | None = None) -> Pending:
        """Encode the update that was trained for round `base`; the same once more after a restart is what is there.

        Raises:
            CompressionError (consensus): a value is not finite. DiskError.
        """
        for known in self.pending:
            if known.base == base:
                return known
        sent = ErrorFeedback(self._left).send(self.codec, update)
        root = tensor_set_root(sent.update).hex()
        told = "" if plan is None else plan.message().SerializeToString(deterministic=True).hex()
        made = Pending(base=base, batches=batches, codec=self.codec.number, update_root=root, plan=told)
        write_atomic(self.path(made), sent.data)
        self._left = dict(sent.feedback.left)
        self._save([*self.pending, made])
        return made

    def data(self, pending: Pending) -> bytes:
        """Its encoding. Raises DiskError."""
        try:
            return read_bounded(self.path(pending), encoded_size(CODECS[pending.codec], self.shapes))
        except FileNotFoundError as error:
            raise DiskError(
                f"{self.path(pending)} is gone.", "Remove the folder beside it; nothing else is lost."
            ) from error

    def path(self, pending: Pending) -> Path:
        """The file of its encoding."""
        return self.folder / f"update-{pending.base:010d}.bin"

    def after(self, counted: set[int]) -> None:
        """A round was settled: what was counted (by base) is done, what has had its tries goes into the next update.

        Raises DiskError.
        """
        kept = []
        for one in self.pending:
            if one.base in counted:
                continue
            tried = one.model_copy(update={"tries": one.tries + 1})
            if tried.tries < TRIES:
                kept.append(tried)
            else:
                self._take_back(tried)
        gone = [one for one in self.pending if one.base not in {other.base for other in kept}]
        self._save(kept)
        for one in gone:
            self.path(one).unlink(missing_ok=True)

    def _take_back(self, pending: Pending) -> None:
        lost = decode_update(CODECS[pending.codec], self.data(pending), self.shapes)
        self._left = {name: t + lost[name] for name, t in self._left.items()}
        log.warning("an update never came to count; the next one carries it", base=pending.base)

    def _save(self, pending: list[Pending]) -> None:
        memory = _Memory(pending=pending).model_dump_json()
        save_tensors(self.folder / _NAME, self._left, {"memory": memory})
        self.pending = pending

    def _load(self) -> None:
        path = self.folder / _NAME
        try:
            found = load_tensors(path, self.shapes)
            self.pending = _Memory.model_validate_json(found.metadata.get("memory", "")).pending
            self._left = found.tensors
        except FileNotFoundError:
            return
        except (TensorFileError, ValidationError) as error:  # other parts than before, or a damaged file
            log.warning("what was left out before is not usable", path=str(path), reason=str(error))
            self.pending = []
