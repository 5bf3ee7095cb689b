"""The hash of what a claim says it ran: architecture, arithmetic, optimizer and outer step."""

import hashlib
import json
from dataclasses import asdict
from typing import Any, Final

from consensus.arithmetic import numbers
from consensus.arithmetic.reference import RMS_EPS
from consensus.model.config import ModelConfig
from consensus.training.optimizer import AdamW
from consensus.training.outer import UPDATE_BITS
from economics.constants import LEAF_BYTES, OUTER_MOMENTUM, OUTER_RATE, UPDATE_WEIGHT_MIN

_DOMAIN: Final = b"ponw/program/1\x00"


def describe(config: ModelConfig, optimizer: AdamW) -> dict[str, Any]:
    """Everything that changes a bit of the result, as JSON values; floats as hexadecimal text."""
    shape = {key: value for key, value in asdict(config).items() if key != "name"}
    return {
        "model": shape,
        "optimizer": {key: _text(value) for key, value in asdict(optimizer).items()},
        "outer": {
            "bits": UPDATE_BITS,
            "momentum_bps": int(OUTER_MOMENTUM),
            "rate_bps": int(OUTER_RATE),
            "weight_min_bps": int(UPDATE_WEIGHT_MIN),
        },
        "arithmetic": {
            "block": numbers.BLOCK,
            "qmax": numbers.QMAX,
            "tiny": _text(numbers.TINY),
            "sum_bits": numbers.SUM_BITS,
            "exp2": [_text(c) for c in numbers.EXP2_POLYNOMIAL],
            "log2": [_text(c) for c in numbers.LOG2_POLYNOMIAL],
            "rms_eps": _text(RMS_EPS),
            "loss_max": _text(numbers.LOSS_MAX),
        },
        "leaf_bytes": LEAF_BYTES,
    }


def program_hash(config: ModelConfig, optimizer: AdamW | None = None) -> bytes:
    """sha256("ponw/program/1" ‖ 0x00 ‖ canonical JSON: sorted keys, no spaces, ASCII), 32 bytes."""
    text = json.dumps(describe(config, optimizer or AdamW()), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(_DOMAIN + text.encode()).digest()


def _text(value: float) -> str | int:
    return value.hex() if isinstance(value, float) else value
