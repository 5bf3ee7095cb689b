"""Tokens a second, exact against native in turns; and what commitment and audit add to a step."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.native import Native
from consensus.commitments.batch import batch_root
from consensus.commitments.tensors import state_root, tensor_set_root
from consensus.commitments.trace import StepLeaf, Trace, loss_bits
from consensus.training.claimed import claimed_update
from consensus.training.step import TrainState
from economics.cohort import inner_steps, segment_length
from economics.constants import AUDIT_SEGMENTS
from node.training.work import Task, Workshop

TASK = Task(b"\x09" * 32, bytes(20))
Say = Callable[[str], None]


@dataclass(frozen=True)
class Speed:
    """Seconds a step, medians."""

    exact: float
    native: float
    commit: float
    audit_share: float
    micro: int


def measure(shop: Workshop, pairs: int, say: Say) -> Speed:
    """Interleaved steps of both on the same batches; native with the micro-batch that suits it best."""
    batches = [shop.batch(TASK, step) for step in range(pairs + 1)]
    weights = shop.genesis_state().weights
    micro = best_micro(shop, weights, batches[0], say)
    native, state = Native(shop.config, weights, micro), TrainState.start(weights)
    native.step(batches[0])
    shop.trainer.step(state, batches[0])
    exact_s, native_s, commit_s = [], [], []
    trace = Trace()
    for step, tokens in enumerate(batches[1:]):
        exact_s.append(_timed(lambda tokens=tokens: shop.trainer.step(state, tokens)))  # type: ignore[misc]
        commit_s.append(_timed(lambda tokens=tokens, step=step: _commit(trace, state, tokens, step)))  # type: ignore[misc]
        native_s.append(_timed(lambda tokens=tokens: native.step(tokens)))  # type: ignore[misc]
        say(f"  step {step + 1}/{pairs}: exact {exact_s[-1]:.4f} s, native {native_s[-1]:.4f} s")
    exact = statistics.median(exact_s)
    audit = _audit_share(state, weights, exact)
    return Speed(exact, statistics.median(native_s), statistics.median(commit_s), audit, micro)


def best_micro(shop: Workshop, weights: dict[str, Tensor], tokens: Tensor, say: Say) -> int:
    """Sequences at a time with which native is fastest."""
    sizes = {shop.config.batch >> shift for shift in range(4) if shop.config.batch >> shift}
    times = {}
    for size in sorted(sizes, reverse=True):
        native = Native(shop.config, weights, size)
        native.step(tokens)
        times[size] = min(_timed(lambda native=native: native.step(tokens)) for _ in range(2))  # type: ignore[misc]
        say(f"  native with {size} sequences at a time: {times[size]:.4f} s a step")
    return min(times, key=lambda size: times[size])


def _commit(trace: Trace, state: TrainState, tokens: Tensor, step: int) -> None:
    root = state_root(state.weights, state.m, state.v)
    trace.append(StepLeaf(root, batch_root(tokens.numpy()), loss_bits(0.0), step))
    trace.root()


def _audit_share(state: TrainState, weights: dict[str, Tensor], step_s: float) -> float:
    """What one auditor of one claim recomputes and hashes, as a share of what the claim took to train."""
    steps = inner_steps(1)
    recomputed = AUDIT_SEGMENTS * segment_length(steps) * step_s
    checks = (AUDIT_SEGMENTS + 1) * _timed(lambda: state_root(state.weights, state.m, state.v))
    update = _timed(lambda: tensor_set_root(claimed_update(weights, state.weights)))
    return (recomputed + checks + update) / (steps * step_s)


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def threads() -> int:
    """Compute threads in use."""
    return torch.get_num_threads()
