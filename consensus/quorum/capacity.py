"""What a part of the model costs to hold and to run, and which parts a node should hold."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from consensus.arithmetic.numbers import BLOCK
from consensus.model.config import ModelConfig
from consensus.quorum.coverage import scarcities
from consensus.quorum.parts import Span, is_edge, part_count
from consensus.quorum.peers import Peer
from economics.constants import QUORUM_MEMBERS_MAX
from economics.units import BPS, WAD

FLOAT: Final = 4
"""Bytes of one fp32 number."""
STATE_COPIES: Final = 6
"""fp32 numbers a weight: itself, two moments, its gradient, and the round's start and outer velocity for the cohort."""
PACKED_COPIES: Final = 2
"""A matrix that multiplies activations is also held packed along both dimensions, 4 bytes a number each."""
LAYER_WORK: Final = int(BPS)
"""Work of one layer, the unit that other parts are measured in."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Bytes to hold each part, and its work in basis points of one layer's. Both have one entry a part."""

    memory: tuple[int, ...]
    work: tuple[int, ...]

    @property
    def parts(self) -> int:
        """Parts of the model, embedding and head included."""
        return len(self.memory)

    def bytes_of(self, span: Span) -> int:
        """Bytes to hold a range of parts."""
        return sum(self.memory[span.start : span.stop])

    def work_of(self, span: Span) -> int:
        """Work of a range of parts, in basis points of a layer."""
        return sum(self.work[span.start : span.stop])


def layout_of(config: ModelConfig, in_flight: int | None = None) -> Layout:
    """The costs of a model's parts.

    ``in_flight``: micro-batches whose activations a stage keeps until their gradients come; unset takes the most that
    one forward and one backward in turn (Narayanan et al. 2019, 1F1B) can need: as many as there may be stages.
    """
    micro_batches = config.batch // config.micro_batch
    kept = min(micro_batches, QUORUM_MEMBERS_MAX) if in_flight is None else in_flight
    rows, d = min(BLOCK, config.tokens_per_step), config.width
    layer = 12 * d * d
    probabilities = rows * config.seq_len * config.heads
    # Kept of a layer: x, norm, qkv, attention's output, second norm, h and its square, and the attention's rows.
    saved = FLOAT * (rows * (1 + 1 + 3 + 1 + 1 + 4 + 4) * d + probabilities)
    memory = [FLOAT * STATE_COPIES * (config.vocab + config.seq_len) * d + kept * FLOAT * rows * d]
    memory += [FLOAT * (STATE_COPIES + PACKED_COPIES) * layer + kept * saved] * config.layers
    logits = 2 * FLOAT * rows * config.vocab
    memory += [FLOAT * (STATE_COPIES + PACKED_COPIES) * config.vocab * d + kept * FLOAT * 2 * rows * d + logits]
    head = max(1, LAYER_WORK * config.vocab * d // layer)
    return Layout(tuple(memory), (1, *[LAYER_WORK] * config.layers, head))


def uniform_layout(layers: int, layer_bytes: int, edge_bytes: int) -> Layout:
    """A layout for tests and simulations: every layer alike, embedding and head alike."""
    parts = part_count(layers)
    memory = tuple(edge_bytes if is_edge(part, parts) else layer_bytes for part in range(parts))
    return Layout(memory, (1, *[LAYER_WORK] * layers, LAYER_WORK // 4))


def holds_truly(peer: Peer, layout: Layout) -> bool:
    """Whether a node holds parts of this model, and gives the memory that they take."""
    return peer.held is not None and peer.held.stop <= layout.parts and layout.bytes_of(peer.held) <= peer.memory


def fitting_span(layout: Layout, start: int, memory: int) -> Span | None:
    """The longest range from ``start`` that fits; None when not even that part does."""
    stop, left = start, memory
    while stop < layout.parts and layout.memory[stop] <= left:
        left -= layout.memory[stop]
        stop += 1
    return Span(start, stop) if stop > start else None


def choose_span(layout: Layout, memory: int, counts: Sequence[int], nodes: int, account: bytes) -> Span | None:
    """The parts that a node with ``memory`` bytes should hold, given how many others hold each; None if none fits.

    Most scarcity first; then the parts with the fewest holders; among equals the account decides, so that nodes that
    come at once spread. A range is as long as fits: a longer one never has less scarcity.
    """
    scarce = scarcities(counts, nodes)
    best: list[Span] = []
    best_score = (-1, -1)
    for start in range(layout.parts):
        span = fitting_span(layout, start, memory)
        if span is None:
            continue
        rare = sum(WAD // (1 + counts[part]) for part in span.parts())
        score = (sum(scarce[part] for part in span.parts()), rare)
        if score > best_score:
            best, best_score = [], score
        if score == best_score:
            best.append(span)
    return best[int.from_bytes(account, "big") % len(best)] if best else None
