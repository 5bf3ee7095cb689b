"""Uploads that stand apart from those that were accepted: by size, by direction, by being somebody else's.

This proves nothing and rejects nobody: it chooses what the gateway trains again. Robust statistics (median, and median
absolute deviation times 1.4826), so that a minority of liars among those accepted does not hide the next one.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

SAMPLE_MIN: Final = 8
"""Accepted uploads of the same size, codec and version from which on another one is judged by them."""
SIGMAS: Final = 3.0
_MAD_TO_SIGMA: Final = 1.4826
_SIGMA_MIN: Final = 0.02
"""Of the logarithm of norms, and of cosines: closer together than this nobody stands apart."""
_WIDTH_BITS: Final = 10
_CHUNK: Final = 1 << 20

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Profile:
    """`norm`: Euclidean, of the whole update. `sketch`: its projection, whose inner products are those of updates up
    to about 3% of the product of their norms (count sketch: Charikar, Chen & Farach-Colton 2002)."""

    norm: float
    sketch: Vector


class Sketcher:
    """Projects updates by hashes that only the gateway knows: nobody can aim at a collision."""

    def __init__(self, secret: bytes) -> None:
        draw = np.random.default_rng(np.frombuffer(secret, dtype=np.uint8))
        self._place, self._sign = (int(odd) | 1 for odd in draw.integers(1 << 62, 1 << 63, 2))

    def profile(self, update: Mapping[str, Tensor]) -> Profile:
        """Of an update of finite fp32 tensors."""
        sketch, square, at = np.zeros(1 << _WIDTH_BITS), 0.0, 0
        for name in sorted(update):
            flat = update[name].reshape(-1).numpy()
            for first in range(0, len(flat), _CHUNK):
                x = flat[first : first + _CHUNK].astype(np.float64)
                places, signs = self._hashes(at + first, len(x))
                sketch += np.bincount(places, weights=x * signs, minlength=len(sketch))
                square += float(x @ x)
            at += len(flat)
        return Profile(math.sqrt(square), sketch)

    def _hashes(self, first: int, count: int) -> tuple[NDArray[np.int64], Vector]:
        """Multiply-shift hashes (Dietzfelbinger et al. 1997) of the places first … first + count - 1."""
        at = np.arange(first + 1, first + count + 1, dtype=np.uint64)
        places = (at * np.uint64(self._place)) >> np.uint64(64 - _WIDTH_BITS)
        signs = ((at * np.uint64(self._sign)) >> np.uint64(63)).astype(np.float64) * 2.0 - 1.0
        return places.astype(np.int64), signs


def suspicion(own: Profile, accepted: Sequence[Profile]) -> str:
    """Why an upload stands apart from those accepted, in words; empty where it does not, or where they are fewer than
    SAMPLE_MIN."""
    if len(accepted) < SAMPLE_MIN:
        return ""
    size = apart(_log(own.norm), [_log(one.norm) for one in accepted])
    if size > SIGMAS:
        return f"its norm {own.norm:.3g} is {size:.1f} sigma from those accepted"
    units = np.stack([_unit(one.sketch) for one in accepted])
    total = units.sum(0)
    cosines = [_cosine(unit, total - unit) for unit in units]
    direction = _cosine(own.sketch, total)
    turned = apart(direction, cosines)
    if turned > SIGMAS and direction < statistics.median(cosines):
        return f"its direction (cosine {direction:.2f}) is {turned:.1f} sigma from those accepted"
    return ""


def apart(value: float, others: Sequence[float]) -> float:
    """Robust sigmas between a value and the median of others."""
    middle = statistics.median(others)
    spread = statistics.median(abs(other - middle) for other in others)
    return abs(value - middle) / max(spread * _MAD_TO_SIGMA, _SIGMA_MIN)


def _log(norm: float) -> float:
    return math.log(max(norm, 1e-30))


def _unit(vector: Vector) -> Vector:
    length = math.sqrt(float(vector @ vector))
    return vector / length if length else vector


def _cosine(one: Vector, other: Vector) -> float:
    return float(_unit(one) @ _unit(other))
