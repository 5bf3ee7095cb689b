"""Shapes of the model: a GPT with RMSNorm, squared ReLU, base-2 softmax and learned positions."""

from dataclasses import dataclass
from typing import Final

from consensus.arithmetic.numbers import BLOCK
from consensus.model.tokens import VOCAB_SIZE


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """One architecture and the batch a step takes.

    ``batch`` counts sequences a step; a step works through them in micro-batches of at most 512 tokens, whose weight
    gradients are added in order.
    """

    name: str
    layers: int
    width: int
    heads: int
    seq_len: int
    batch: int
    vocab: int = VOCAB_SIZE

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} does not divide into {self.heads} heads")
        if BLOCK % self.seq_len:
            raise ValueError(f"sequence length {self.seq_len} does not divide {BLOCK}")
        if self.batch % self.micro_batch:
            raise ValueError(f"batch {self.batch} does not divide into micro-batches of {self.micro_batch}")

    @property
    def head_width(self) -> int:
        return self.width // self.heads

    @property
    def micro_batch(self) -> int:
        """Sequences in one micro-batch: 512 tokens, or the whole batch when that is smaller."""
        return min(self.batch, BLOCK // self.seq_len)

    @property
    def tokens_per_step(self) -> int:
        return self.batch * self.seq_len

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every weight; a matrix is [outputs, inputs]."""
        d = self.width
        out: dict[str, tuple[int, ...]] = {
            "embed": (self.vocab, d),
            "position": (self.seq_len, d),
            "head": (self.vocab, d),
        }
        for i in range(self.layers):
            out[f"layer{i:03d}.attn_in"] = (3 * d, d)
            out[f"layer{i:03d}.attn_out"] = (d, d)
            out[f"layer{i:03d}.mlp_in"] = (4 * d, d)
            out[f"layer{i:03d}.mlp_out"] = (d, 4 * d)
        return dict(sorted(out.items()))

    @property
    def parameters(self) -> int:
        total = 0
        for shape in self.shapes().values():
            n = 1
            for s in shape:
                n *= s
            total += n
        return total


PRESETS: Final[dict[str, ModelConfig]] = {
    "tiny": ModelConfig("tiny", layers=4, width=128, heads=4, seq_len=128, batch=8),
    "small": ModelConfig("small", layers=6, width=384, heads=6, seq_len=256, batch=32),
    "base": ModelConfig("base", layers=10, width=1024, heads=16, seq_len=512, batch=64),
}
