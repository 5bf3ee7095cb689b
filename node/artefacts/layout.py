"""Names and index of a round's files. Names from a peer or a request never become a path before they match here."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

ARTEFACTS_NAME = "artefacts"
INDEX_NAME = "index.json"
TRACE_NAME = "trace.bin"
UPDATE_NAME = "update.bin"
CLAIM_NAME = "claim.json"
GLOBAL_NAME = "global.safetensors"
BASE_NAME = "base.safetensors"
"""The global state that a late claim of the round began from."""
INDEX_LIMIT = 1 << 20
"""Bytes; room for about 5,000 checkpoints."""
LEAF_BYTES = 72
"""One leaf of trace.bin, see docs/DESIGN.md."""

_STEP = r"(0|[1-9][0-9]{0,9})"
_NAME = (
    r"(trace\.bin|claim\.json|(?:global|base)\.safetensors|update\.bin"
    rf"|checkpoint-{_STEP}\.safetensors|ops-{_STEP}\.bin)"
)
_ROUND = r"(0|[1-9][0-9]{0,17})"


class IndexEntry(BaseModel):
    """One file: `size` in bytes, `sha256` of the whole in hex."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: Annotated[str, Field(pattern=f"^{_NAME}$")]
    size: Annotated[int, Field(ge=0, lt=1 << 50)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class RoundIndex(BaseModel):
    """Everything published for one round."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    schema_version: Literal[1] = 1
    round: Annotated[int, Field(ge=0, lt=1 << 63)]
    files: tuple[IndexEntry, ...]

    @model_validator(mode="after")
    def _unique(self) -> RoundIndex:
        names = [entry.name for entry in self.files]
        if names != sorted(set(names)):
            raise ValueError("files are repeated or out of order")
        return self

    def find(self, name: str) -> IndexEntry | None:
        """The entry of a file."""
        return next((entry for entry in self.files if entry.name == name), None)

    def checkpoint_steps(self) -> list[int]:
        """Steps for which a checkpoint is published, ascending."""
        return sorted(int(entry.name[11:-12]) for entry in self.files if entry.name.startswith("checkpoint-"))


def checkpoint_name(step: int) -> str:
    """The file name of the checkpoint after `step` steps."""
    return f"checkpoint-{step}.safetensors"


def ops_name(step: int) -> str:
    """The file name of the op trace of a step: one root (32 bytes) an op."""
    return f"ops-{step}.bin"


def parse_index(data: bytes) -> RoundIndex | None:
    """The index in `data`; None if it is malformed."""
    try:
        return RoundIndex.model_validate_json(data)
    except ValidationError:
        return None


def valid_name(name: str) -> bool:
    """Whether `name` can be a published file."""
    return re.fullmatch(_NAME, name, re.ASCII) is not None


def parse_round(text: str) -> int | None:
    """The round number written in `text`, in its only spelling."""
    return int(text) if re.fullmatch(_ROUND, text, re.ASCII) else None


def round_folder(root: Path, number: int) -> Path:
    """Where a round's files stand below the artefact root."""
    return root / str(number)
