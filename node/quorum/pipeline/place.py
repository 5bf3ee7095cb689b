"""Where a member stands in its quorum's pipeline."""

from __future__ import annotations

from dataclasses import dataclass, field

from consensus.model.config import ModelConfig
from consensus.pipeline.capacity import capacity
from consensus.pipeline.stages import Stage, check_cover
from consensus.training.optimizer import AdamW
from node.quorum.pipeline.errors import StageTooLargeError


@dataclass(frozen=True)
class Place:
    """Which stage of which model a member is, and what trains it; all members have the same `optimizer`.

    Raises PipelineError (consensus) where the stages are not the model.
    """

    config: ModelConfig
    stages: tuple[Stage, ...]
    at: int
    optimizer: AdamW = field(default_factory=AdamW)

    def __post_init__(self) -> None:
        check_cover(self.config, self.stages)

    @property
    def stage(self) -> Stage:
        return self.stages[self.at]

    @property
    def last(self) -> bool:
        return self.at == len(self.stages) - 1

    def require_memory(self, limit: int) -> None:
        """Refuse a stage that needs more than `limit` bytes.

        Raises:
            StageTooLargeError: names both figures.
        """
        needed = capacity(self.config, self.stages, self.at).total
        if needed > limit:
            raise StageTooLargeError(
                f"Stage {self.at} of {len(self.stages)} needs {needed:,} bytes; this member may use {limit:,}.",
                "Take fewer layers, or raise the memory limit.",
            )
