"""The parts of a model in pipeline order: the embedding, each layer, the head; and ranges of them."""

from dataclasses import dataclass

from consensus.errors import QuorumError


@dataclass(frozen=True, order=True, slots=True)
class Span:
    """Parts ``start`` to ``stop - 1``. Part 0 is the embedding, part i the layer i - 1, the last part the head.

    Raises QuorumError when empty or negative.
    """

    start: int
    stop: int

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.stop:
            raise QuorumError(f"parts {self.start} to {self.stop} are no range", "A span holds one part at least.")

    def __len__(self) -> int:
        return self.stop - self.start

    def __contains__(self, part: object) -> bool:
        return isinstance(part, int) and self.start <= part < self.stop

    def holds(self, other: "Span") -> bool:
        """Whether every part of ``other`` is in this span."""
        return self.start <= other.start and other.stop <= self.stop

    def parts(self) -> range:
        """The parts in order."""
        return range(self.start, self.stop)


def part_count(layers: int) -> int:
    """Parts of a model with so many layers: embedding and head included."""
    return layers + 2


def part_name(part: int, parts: int) -> str:
    """ "embedding", "layer 0", …, "head"."""
    if part == 0:
        return "embedding"
    return "head" if part == parts - 1 else f"layer {part - 1}"


def span_name(span: Span, parts: int) -> str:
    """A range in words: "embedding to layer 3"."""
    first, last = part_name(span.start, parts), part_name(span.stop - 1, parts)
    return first if len(span) == 1 else f"{first} to {last}"


def is_edge(part: int, parts: int) -> bool:
    """Whether a part is the embedding or the head."""
    return part in {0, parts - 1}
