"""Decoder over the compiled kernels: one call a step, from token ids to drawn tokens, with the definition's bits."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from typing import Final

import torch
from torch import Tensor

from consensus.arithmetic import numbers
from consensus.arithmetic.library import Library, packed_words
from consensus.arithmetic.reference import RMS_EPS, attention_scale
from consensus.inference.decoding import MAX_ROWS, Row, check, check_rows
from consensus.inference.pace import Clock, Pace
from consensus.model.config import ModelConfig

PARTS: Final = ("attn_in", "attn_out", "mlp_in", "mlp_out")


class _Matrix(ctypes.Structure):
    _fields_ = (("data", ctypes.c_void_p), ("scale", ctypes.c_void_p))


class _Model(ctypes.Structure):
    """`Model` in consensus/arithmetic/native/decode.inc."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("embed", "position", "matrices", "cache", "work")),
        *((name, ctypes.c_int32) for name in ("layers", "width", "heads", "head_width", "context", "vocab")),
        *((name, ctypes.c_float) for name in ("inverse_width", "eps", "score_scale")),
    )


class _Row(ctypes.Structure):
    """`DecodeRow` there."""

    _fields_ = (
        ("draw", ctypes.c_uint64),
        *((name, ctypes.c_int32) for name in ("slot", "place", "token", "draws")),
        ("multiplier", ctypes.c_float),
        *((name, ctypes.c_int32) for name in ("top_p_bps", "chosen")),
    )


class CompiledDecoder:
    """Decoder over one kernel library; `threads` 0 takes as many as PyTorch. Caches of all slots are made at once.

    With a `clock` (seconds) it finds out while it runs whether one thread or all are faster.
    """

    def __init__(
        self,
        library: Library,
        config: ModelConfig,
        weights: Mapping[str, Tensor],
        slots: int,
        threads: int = 0,
        clock: Clock | None = None,
    ) -> None:
        check(config, weights)
        self.name = f"compiled-{library.isa}"
        self.config, self.slots = config, slots
        self._c, self._pace = library.calls, Pace(threads or torch.get_num_threads(), clock)
        self._held = [weights["embed"].contiguous(), weights["position"].contiguous()]
        names = [f"layer{i:03d}.{part}" for i in range(config.layers) for part in PARTS] + ["head"]
        self._matrices = (_Matrix * len(names))(*(self._pack(weights[name]) for name in names))
        self._model = self._describe()
        address = ctypes.addressof(self._model)
        cache = torch.zeros(self._c.ponw_decode_cache(address, slots), dtype=torch.int32)
        work = torch.empty(self._c.ponw_decode_work(address), dtype=torch.float32)
        self._held += [cache, work]
        self._model.cache, self._model.work = cache.data_ptr(), work.data_ptr()
        self._rows = (_Row * MAX_ROWS)()
        self._each = config.parameters - weights["embed"].numel() - weights["position"].numel()

    def _pack(self, w: Tensor) -> _Matrix:
        """The forward half of the engine's `pack_weight`: the same integers and scales."""
        n, k = w.shape
        data = torch.empty(packed_words(n, k), dtype=torch.int32)
        scale = torch.empty(-(-k // numbers.BLOCK) * -(-n // 16) * 16, dtype=torch.float32)
        source = w.contiguous()
        self._c.ponw_pack_rows(source.data_ptr(), k, n, k, data.data_ptr(), scale.data_ptr())
        self._held += [data, scale]
        return _Matrix(data.data_ptr(), scale.data_ptr())

    def _describe(self) -> _Model:
        c = self.config
        return _Model(
            embed=self._held[0].data_ptr(),
            position=self._held[1].data_ptr(),
            matrices=ctypes.addressof(self._matrices),
            layers=c.layers,
            width=c.width,
            heads=c.heads,
            head_width=c.head_width,
            context=c.seq_len,
            vocab=c.vocab,
            inverse_width=numbers.round32(1.0 / c.width),
            eps=RMS_EPS,
            score_scale=attention_scale(c.head_width),
        )

    def step(self, rows: Sequence[Row]) -> list[int]:
        self._run(rows, None)
        return [self._rows[i].chosen for i, row in enumerate(rows) if row.choice is not None]

    def logits(self, rows: Sequence[Row]) -> Tensor:
        out = torch.empty(len(rows), self.config.vocab)
        self._run(rows, out)
        return out

    def _run(self, rows: Sequence[Row], out: Tensor | None) -> None:
        check_rows(self.config, self.slots, rows)
        for given, row in zip(self._rows, rows, strict=False):
            given.slot, given.place, given.token = row.slot, row.place, row.token
            choice = row.choice
            given.draws = choice is not None
            if choice is not None:
                given.multiplier, given.top_p_bps, given.draw = choice.multiplier, choice.top_p_bps, choice.draw
        pointer = None if out is None else out.data_ptr()
        model, given_rows = ctypes.addressof(self._model), ctypes.addressof(self._rows)

        def decode(threads: int) -> None:
            self._c.ponw_decode(model, given_rows, len(rows), threads, pointer)

        self._pace.run(len(rows), self._each * len(rows), decode)
