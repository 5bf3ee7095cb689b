"""Shapes of the model: a GPT with RMSNorm, squared ReLU, base-2 softmax and learned positions."""

from dataclasses import dataclass, replace
from typing import Final

from consensus.arithmetic.numbers import BLOCK
from consensus.model.tokens import VOCAB_SIZE
from economics.constants import GROWTH_RATE_STEPS


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """One architecture and the batch a step takes.

    ``batch`` counts sequences a step; a step works through them in micro-batches of at most 512 tokens, whose weight
    gradients are added in order. ``young`` counts the topmost layers, added by growth ``age`` steps before the round,
    that still learn at a lower rate; both are 0 in an architecture that has none, and neither changes a shape.
    """

    name: str
    layers: int
    width: int
    heads: int
    seq_len: int
    batch: int
    vocab: int = VOCAB_SIZE
    young: int = 0
    age: int = 0

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} does not divide into {self.heads} heads")
        if BLOCK % self.seq_len:
            raise ValueError(f"sequence length {self.seq_len} does not divide {BLOCK}")
        if self.batch % self.micro_batch:
            raise ValueError(f"batch {self.batch} does not divide into micro-batches of {self.micro_batch}")
        if not 0 <= self.young <= self.layers or not 0 <= self.age <= (GROWTH_RATE_STEPS if self.young else 0):
            raise ValueError(f"{self.young} of {self.layers} layers cannot be young, {self.age} steps old")

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

    @property
    def ageless(self) -> "ModelConfig":
        """The same with its young layers at age 0: what a program's ops depend on, without the schedule."""
        return replace(self, age=0) if self.age else self

    @property
    def grown_up(self) -> "ModelConfig":
        """The same without young layers: what shapes, forward pass and outer step depend on."""
        return replace(self, young=0, age=0) if self.young else self

    def older(self, steps: int) -> "ModelConfig":
        """``steps`` later; nobody is young any more once the warm-up of new layers is over."""
        age = self.age + steps
        return replace(self, age=age) if self.young and age < GROWTH_RATE_STEPS else self.grown_up

    def young_names(self) -> frozenset[str]:
        """Names of the young layers' weights."""
        stems = tuple(f"layer{i:03d}." for i in range(self.layers - self.young, self.layers))
        return frozenset(name for name in self.shapes() if name.startswith(stems)) if stems else frozenset()

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
