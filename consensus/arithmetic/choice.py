"""Which kernel this machine uses: every candidate proves itself first, the fastest that passes is taken.

All kernels give the same bits, so the choice is the node's and no matter of consensus. A kernel that lies
(``torch._int_mm`` saturates on processors without VNNI) fails its proof here and is never used.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from consensus.arithmetic import gpu, library, numbers, products
from consensus.arithmetic.compiled import Compiled
from consensus.arithmetic.engine import AdamWConstants, Engine
from consensus.arithmetic.reference import Reference
from consensus.errors import KernelError

CHECK_LENGTHS: Final = (1, 2, 31, 63, 64, 128, 384, 511, 512, 513, 1024, 1536, 4096)
"""Contracted lengths that the presets use, and the ends of blocks around them."""
_ROWS, _COLUMNS = 17, 19


@dataclass(frozen=True, slots=True)
class Verdict:
    """How one candidate did. ``reason`` says why it was refused; ``seconds`` is the time of its timed product."""

    name: str
    engine: Engine | None
    reason: str = ""
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        return self.engine is not None


def candidates(max_isa: str | None = None, *, devices: bool = False) -> list[tuple[str, Callable[[], Engine | None]]]:
    """(name, maker) of every kernel, fastest first as far as known; a maker gives None where it cannot run here.

    ``devices``: those of a GPU too, where PyTorch finds one.
    """
    found: list[tuple[str, Callable[[], Engine | None]]] = gpu.candidates() if devices else []
    allowed = library.VARIANTS if max_isa is None else library.VARIANTS[library.VARIANTS.index(max_isa) :]
    for variant in allowed:
        found.append((f"compiled-{variant}", lambda variant=variant: _compiled(variant)))  # type: ignore[misc]
    for name, product in products.PRODUCTS.items():
        found.append((f"torch-{name}", lambda name=name, product=product: Reference(product, f"torch-{name}")))  # type: ignore[misc]
    return found


def survey(
    max_isa: str | None = None,
    clock: Callable[[], float] | None = None,
    makers: list[tuple[str, Callable[[], Engine | None]]] | None = None,
    *,
    devices: bool = False,
) -> list[Verdict]:
    """Try every candidate; with a ``clock`` (seconds) also time those that pass."""
    makers = candidates(max_isa, devices=devices) if makers is None else makers
    return [_judge(name, make, clock) for name, make in makers]


def choose_engine(
    threads: int = 0,
    max_isa: str | None = None,
    clock: Callable[[], float] | None = None,
    makers: list[tuple[str, Callable[[], Engine | None]]] | None = None,
    *,
    devices: bool = False,
) -> Engine:
    """The fastest engine that proves itself here: by time with a ``clock``, else the first that passes.

    ``devices``: the tensors may lie on a GPU, so its kernels are tried too. ``threads`` 0 leaves the number of threads
    as it is. Raises KernelError when none passes.
    """
    set_threads(threads)
    refused: list[str] = []
    makers = candidates(max_isa, devices=devices) if makers is None else makers
    if clock is None:
        for name, make in makers:
            verdict = _judge(name, make, None)
            if verdict.engine is not None:
                return verdict.engine
            refused.append(f"{name}: {verdict.reason}")
    else:
        verdicts = survey(max_isa, clock, makers)
        passed = sorted((v for v in verdicts if v.engine is not None), key=lambda v: v.seconds)
        if passed and passed[0].engine is not None:
            return passed[0].engine
        refused = [f"{v.name}: {v.reason}" for v in verdicts]
    raise KernelError("No kernel on this machine computes exactly: " + "; ".join(refused))


def set_threads(count: int) -> None:
    """Set the compute threads of PyTorch and of the compiled kernels; 0 leaves them."""
    if count:
        torch.set_num_threads(count)
        for variant in library.VARIANTS:
            loaded = library.load(variant)
            if loaded is not None:
                loaded.set_threads(count)


def _compiled(variant: str) -> Engine | None:
    loaded = library.load(variant)
    return None if loaded is None else Compiled(loaded)


def _judge(name: str, make: Callable[[], Engine | None], clock: Callable[[], float] | None) -> Verdict:
    try:
        engine = make()
        if engine is None:
            return Verdict(name, None, "not built, or this machine lacks what it needs")
        reason = proof_failure(engine)
    except Exception as error:  # noqa: BLE001 - drivers and compilers raise what they like; the verdict says what
        return Verdict(name, None, f"it failed: {type(error).__name__}: {str(error).strip()[-200:]}")
    if reason is not None:
        return Verdict(name, None, reason)
    return Verdict(name, engine, seconds=0.0 if clock is None else _time(engine, clock))


def proof_failure(engine: Engine) -> str | None:
    """What ``engine`` computes differently from the fp64 path on the worst inputs; None when nothing is."""
    reference = Reference()
    for length in CHECK_LENGTHS:
        for label, x, w in _worst(length):
            if not _equal([_linear(engine, x, w)], [_linear(reference, x, w)]):
                return f"a product over {length} terms is wrong ({label})"
            if not _equal(_gradients(engine, x, w), _gradients(reference, x, w)):
                return f"the gradient of a product over {length} terms is wrong ({label})"
    if not _equal(_pass(engine), _pass(reference)):
        return "a small forward and backward pass differs"
    return None


def _worst(length: int) -> list[tuple[str, Tensor, Tensor]]:
    top = torch.full((_ROWS, length), float(numbers.QMAX))
    weight = torch.full((_COLUMNS, length), float(numbers.QMAX))
    ramp = (torch.arange(_ROWS * length, dtype=torch.int64) * 7919 % 4095 - 2047).to(torch.float32).view(_ROWS, length)
    other = (torch.arange(_COLUMNS * length, dtype=torch.int64) * 6089 % 4095 - 2047).to(torch.float32)
    return [
        ("all at the top", top, weight),
        ("all at opposite ends", top, -weight),
        ("every value", ramp, other.view(_COLUMNS, length)),
    ]


def _linear(engine: Engine, x: Tensor, w: Tensor) -> Tensor:
    engine.begin()
    x, w = x.to(engine.device), w.to(engine.device)
    y, _ = engine.linear(x, engine.pack_weight(f"proof{w.shape[1]}", w))
    return y.clone()


def _gradients(engine: Engine, x: Tensor, w: Tensor) -> list[Tensor]:
    engine.begin()
    x, w = x.to(engine.device), w.to(engine.device)
    packed = engine.pack_weight(f"proof{w.shape[1]}", w)
    y, saved = engine.linear(x, packed)
    dw = torch.empty_like(w)
    dx = engine.linear_grad(y.clone(), saved, packed, dw, False)
    return [dx.clone(), dw]


def _pass(engine: Engine) -> list[Tensor]:
    """Every other op once, on inputs from an integer ramp: 2 sequences of 32 tokens, width 32, 2 heads."""
    engine.begin()
    length, width, vocab = 32, 32, 40
    on = engine.device
    tokens = (torch.arange(2 * length, dtype=torch.int64) * 31 % vocab).to(torch.int32).view(2, length).to(on)
    table, place = _ramp(vocab, width, 1.0).to(on), _ramp(length, width, 0.25).to(on)
    x = engine.embed(tokens, table, place)
    n, norm = engine.rmsnorm(x)
    packed = engine.pack_weight("proof-qkv", _ramp(3 * width, width, 0.2).to(on))
    head_w = _ramp(vocab, width, 0.2).to(on)
    qkv, linear = engine.linear(n, packed)
    o, attention = engine.attention(qkv, 2, 2)
    x = engine.add(x, o)
    logits, head = engine.linear(engine.relu2(x), engine.pack_weight("proof-head", head_w))
    dlogits, loss = engine.cross_entropy(logits, tokens.reshape(-1), numbers.round32(1.0 / tokens.numel()))
    dhead, dqkv_w = torch.empty_like(head_w), torch.empty(3 * width, width, device=on)
    dx = engine.relu2_grad(engine.linear_grad(dlogits, head, engine.pack_weight("proof-head", head_w), dhead, False), x)
    dqkv = engine.attention_grad(dx, attention)
    dx = engine.rmsnorm_grad(engine.linear_grad(dqkv, linear, packed, dqkv_w, False), norm, dx)
    dtable, dplace = torch.empty_like(table), torch.empty_like(place)
    engine.embed_grad(tokens, dx, dtable, dplace, False)
    m, v = torch.zeros_like(table), torch.zeros_like(table)
    constants = AdamWConstants(*(numbers.round32(c) for c in (0.9, 0.1, 0.95, 0.05, 10.0, 20.0, 1e-8, 1e-3, 0.99999)))
    engine.adamw(table, m, v, dtable, constants)
    return [dhead, dqkv_w, dtable, dplace, table, m, v, torch.tensor([int(loss)])]


def _ramp(rows: int, columns: int, scale: float) -> Tensor:
    values = (torch.arange(rows * columns, dtype=torch.int64) * 7919 % 4093 - 2046).to(torch.float32)
    return (values * numbers.round32(scale / 2048)).view(rows, columns)


def _equal(a: list[Tensor], b: list[Tensor]) -> bool:
    return all(torch.equal(x.cpu(), y.cpu()) for x, y in zip(a, b, strict=True))


def _time(engine: Engine, clock: Callable[[], float]) -> float:
    x, w = _ramp(512, 512, 1.0).to(engine.device), _ramp(512, 512, 1.0).to(engine.device)
    best = float("inf")
    for _ in range(3):
        started = clock()
        _gradients(engine, x, w)
        gpu.wait(engine.device)
        best = min(best, clock() - started)
    return best
