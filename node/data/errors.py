"""What can be wrong with training text and its shards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from node.errors import DataError

VERIFY_HINT = (
    "`ponw data verify` checks every shard; restore the named file, or add its text again with `ponw data add`."
)


class NotTextError(DataError):
    """A file given to `ponw data add` is binary, empty, or not UTF-8."""


class ManifestError(DataError):
    """manifest.json is missing, malformed, of a newer version, or contradicts itself."""


class DatasetBusyError(DataError):
    """Another process is adding text to the same folder."""


class DatasetTooSmallError(DataError):
    """The dataset holds fewer tokens than one training sequence."""


@dataclass(frozen=True)
class ShardProblem:
    """One shard that is not what the manifest says; `detail` completes "shard NAME …"."""

    name: str
    source: str
    kind: Literal["missing", "truncated", "changed", "unreadable"]
    detail: str

    def __str__(self) -> str:
        return f"shard {self.name} (from {self.source}) {self.detail}"


class ShardError(DataError):
    """At least one shard is missing, truncated, or changed; `problems` names each."""

    def __init__(self, problems: Sequence[ShardProblem]) -> None:
        self.problems = tuple(problems)
        text = "; ".join(str(problem) for problem in self.problems)
        super().__init__(f"The dataset does not match its manifest: {text}.", VERIFY_HINT)
