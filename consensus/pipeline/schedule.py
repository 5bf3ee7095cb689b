"""The order of a stage's work: one forward, one backward (1F1B, Narayanan et al. 2019, "PipeDream"; flushed at each
step as in Megatron-LM, so every micro-batch of a step sees the same weights)."""

from dataclasses import dataclass

from consensus.errors import PipelineError


@dataclass(frozen=True, slots=True)
class Work:
    """A pass of one micro-batch through a stage."""

    forward: bool
    micro: int


def in_flight(stage: int, stages: int, micros: int) -> int:
    """Most micro-batches that are forward but not backward at once: what a stage must have room for."""
    return min(stages - stage, micros)


def order(stage: int, stages: int, micros: int) -> tuple[Work, ...]:
    """Work of stage ``stage`` of ``stages`` in one step of ``micros`` micro-batches.

    Backward passes come in the order of micro-batches on every stage, so gradients add up as in one process.
    Raises PipelineError on numbers out of range.
    """
    if not 0 <= stage < stages or micros < 1:
        raise PipelineError(f"no stage {stage} of {stages} with {micros} micro-batches")
    ahead = in_flight(stage, stages, micros)
    done = [Work(True, micro) for micro in range(ahead)]
    for micro in range(micros):
        done.append(Work(False, micro))
        if micro + ahead < micros:
            done.append(Work(True, micro + ahead))
    return tuple(done)
