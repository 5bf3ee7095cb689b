"""Bytes that a stage needs, so that a member takes only what it can hold. Figures of the compiled kernels."""

from dataclasses import dataclass

from consensus.arithmetic.library import packed_words
from consensus.arithmetic.numbers import BLOCK
from consensus.model.config import ModelConfig
from consensus.pipeline.schedule import in_flight
from consensus.pipeline.stages import Stage


@dataclass(frozen=True, slots=True)
class Capacity:
    """Bytes of one stage. ``state``: fp32 weights, two moments, gradients and the quantised copies of matrices;
    ``activations``: what the micro-batches in flight keep; ``boundary``: tensors being received and sent."""

    state: int
    activations: int
    boundary: int

    @property
    def total(self) -> int:
        return self.state + self.activations + self.boundary


def capacity(config: ModelConfig, stages: tuple[Stage, ...], at: int) -> Capacity:
    """Bytes that stage ``at`` of ``stages`` needs while it trains; libraries and the interpreter come on top."""
    stage = stages[at]
    lanes = in_flight(at, len(stages), config.batch // config.micro_batch)
    return Capacity(_state(config, stage), lanes * 4 * _lane_words(config, stage), _boundary(config, len(stages), at))


def boundary_bytes(config: ModelConfig) -> int:
    """Bytes of one boundary tensor: fp32 [tokens of a micro-batch, width]."""
    return 4 * config.micro_batch * config.seq_len * config.width


def _boundary(config: ModelConfig, stages: int, at: int) -> int:
    """A link holds at most as many tensors unread as there are stages, and as many unsent."""
    links = int(at > 0) + int(at < stages - 1)
    return 2 * links * stages * boundary_bytes(config)


def _state(config: ModelConfig, stage: Stage) -> int:
    total = 0
    for name, shape in stage.shapes(config).items():
        rows, columns = shape
        total += 16 * rows * columns
        if name not in ("embed", "position"):
            total += 4 * (_packing_words(rows, columns) + _packing_words(columns, rows))
    return total


def _lane_words(config: ModelConfig, stage: Stage) -> int:
    """32-bit words one micro-batch keeps from its forward pass to the end of its backward pass."""
    rows, d, vocab = config.micro_batch * config.seq_len, config.width, config.vocab
    words = rows * d if stage.has_embedding else 0
    probabilities = config.micro_batch * config.heads * config.seq_len * config.seq_len
    layer = 2 * (rows * d + rows) + probabilities + rows * d + rows * 4 * d + rows * 3 * d
    layer += sum(_linear_words(rows, n, k) for n, k in ((3 * d, d), (d, d), (4 * d, d), (d, 4 * d)))
    words += stage.count * layer
    if stage.has_head:
        words += 2 * rows * d + rows + _linear_words(rows, vocab, d)
    return words


def _linear_words(rows: int, outputs: int, inputs: int) -> int:
    """Output and gradient of one product, and the operands packed for its three passes."""
    packed = 0
    for length, contracted in ((rows, inputs), (outputs, rows), (inputs, rows), (rows, outputs)):
        packed += _packing_words(length, contracted)
    return rows * outputs + rows * inputs + packed


def _packing_words(rows: int, contracted: int) -> int:
    """The packed operand and one fp32 scale a row and block."""
    return packed_words(rows, contracted) + (rows + 15) // 16 * 16 * -(-contracted // BLOCK)
