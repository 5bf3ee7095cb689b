"""AdamW's constants step by step, from IEEE basics only (no libm)."""

from dataclasses import dataclass

from consensus.arithmetic.engine import AdamWConstants
from consensus.arithmetic.numbers import round32
from economics.constants import GROWTH_RATE_START, GROWTH_RATE_STEPS
from economics.units import BPS


@dataclass(frozen=True, slots=True)
class AdamW:
    """Hyperparameters of the inner optimizer. The rate rises linearly over ``warmup`` steps, then holds."""

    lr: float = 0.003
    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-8
    weight_decay: float = 0.01
    warmup: int = 10

    def constants(self, step: int, age: int | None = None) -> AdamWConstants:
        """Constants of the 0-based ``step`` since the moments were zero. Powers are repeated fp64 products.

        ``age``: steps since the tensor's layer was added to the model, where that is young.
        """
        power1, power2 = 1.0, 1.0
        for _ in range(step + 1):
            power1 *= self.beta1
            power2 *= self.beta2
        lr = self.lr * min(step + 1, self.warmup) / self.warmup
        if age is not None and age < GROWTH_RATE_STEPS:
            lr = lr * young_share(age) / (BPS * GROWTH_RATE_STEPS)
        return AdamWConstants(
            beta1=round32(self.beta1),
            one_minus_beta1=round32(1.0 - self.beta1),
            beta2=round32(self.beta2),
            one_minus_beta2=round32(1.0 - self.beta2),
            correct1=round32(1.0 / (1.0 - power1)),
            correct2=round32(1.0 / (1.0 - power2)),
            eps=round32(self.eps),
            lr=round32(lr),
            decay=round32(1.0 - lr * self.weight_decay),
        )


def young_share(age: int) -> int:
    """Of the learning rate, what a layer of this age learns at, in units of 1 / (10,000 x GROWTH_RATE_STEPS)."""
    return GROWTH_RATE_START * GROWTH_RATE_STEPS + (BPS - GROWTH_RATE_START) * min(age, GROWTH_RATE_STEPS)
