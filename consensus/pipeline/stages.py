"""Stages of a model: consecutive layers, the embedding with the first and the head with the last."""

from collections.abc import Sequence
from dataclasses import dataclass

from consensus.errors import PipelineError
from consensus.model.config import ModelConfig

EMBEDDING_NAMES = ("embed", "position")
HEAD_NAME = "head"


@dataclass(frozen=True, slots=True)
class Stage:
    """What one member of a quorum holds: layers ``first … first + count - 1``, embedding and head where it has them."""

    first: int
    count: int
    has_embedding: bool
    has_head: bool

    @property
    def layers(self) -> range:
        return range(self.first, self.first + self.count)

    def shapes(self, config: ModelConfig) -> dict[str, tuple[int, ...]]:
        """Name and shape of every tensor the stage holds, in sorted order of names."""
        return {name: shape for name, shape in config.shapes().items() if self.holds(name)}

    def holds(self, name: str) -> bool:
        """Whether the tensor called ``name`` is this stage's."""
        if name in EMBEDDING_NAMES:
            return self.has_embedding
        if name == HEAD_NAME:
            return self.has_head
        return int(name[len("layer") : name.index(".")]) in self.layers


def layer_cost(config: ModelConfig) -> int:
    """Multiplications of one layer a token, forward: its four matrices and attention."""
    return 12 * config.width * config.width + 2 * config.seq_len * config.width


def stage_cost(config: ModelConfig, stage: Stage) -> int:
    """Multiplications a token, forward; backward is twice that for every stage alike. The embedding costs one pass."""
    ends = config.width * (int(stage.has_embedding) + config.vocab * int(stage.has_head))
    return stage.count * layer_cost(config) + ends


def split(config: ModelConfig, stages: int) -> tuple[Stage, ...]:
    """The model in ``stages`` stages of at least one layer each, the costliest of them as cheap as can be. The first
    stage is never the larger of two: it has the embedding, and keeps the most micro-batches in flight.

    Raises PipelineError where there are fewer layers than stages, or no stage at all.
    """
    if not 1 <= stages <= config.layers:
        raise PipelineError(
            f"{config.layers} layers do not divide into {stages} stages", "Use 1 stage a layer at most."
        )
    if stages == 1:
        return by_counts(config, [config.layers])
    options = []
    for last in range(1, config.layers - stages + 2):
        share, more = divmod(config.layers - last, stages - 1)
        options.append(by_counts(config, [share + int(at >= stages - 1 - more) for at in range(stages - 1)] + [last]))
    return min(options, key=lambda option: max(stage_cost(config, stage) for stage in option))


def by_counts(config: ModelConfig, counts: Sequence[int]) -> tuple[Stage, ...]:
    """Stages of the given numbers of layers, in order.

    Raises PipelineError unless the counts are positive and add up to the model.
    """
    if not counts or min(counts) < 1 or sum(counts) != config.layers:
        raise PipelineError(f"{list(counts)} layers a stage are not the {config.layers} layers of {config.name}")
    firsts = [sum(counts[:at]) for at in range(len(counts))]
    last = len(counts) - 1
    return tuple(Stage(firsts[at], count, at == 0, at == last) for at, count in enumerate(counts))


def check_cover(config: ModelConfig, stages: Sequence[Stage]) -> None:
    """Raises PipelineError unless ``stages`` in this order are the whole model, each part once."""
    if tuple(stages) != by_counts(config, [stage.count for stage in stages]):
        raise PipelineError(f"the stages do not cover {config.name} in order, each part once")


def owner_of(stages: Sequence[Stage], name: str) -> int:
    """Index of the stage that holds a tensor. Raises PipelineError where none does."""
    for at, stage in enumerate(stages):
        if stage.holds(name):
            return at
    raise PipelineError(f"no stage holds {name}")
