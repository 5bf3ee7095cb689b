"""A short form of the roots table; the whole one is `make bench-exact`."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.roots import Configuration, caps_here, run
from consensus.arithmetic import library
from node.data.corpus import ensure_default

pytestmark = pytest.mark.process

FIFTY_STEPS = "27790f863126963e3cdbda6b4af20b8ae1fbf637263cd1b5573d7c777c3304f2"
"""The root after 50 steps of `tiny` on every kernel, processor and GPU that was tried; docs/EXACTNESS.md."""


def test_one_root_over_caps_threads_kernels_processes_and_resumption(tmp_path: Path) -> None:
    data = ensure_default(tmp_path / "data").folder
    compiled = [f"compiled-{v}" for v in library.VARIANTS if library.load(v) is not None]
    folder, best = str(tmp_path / "checkpoints"), (compiled or ["torch-fp64"])[0]
    highest = caps_here()[-1]
    plans = [Configuration(highest, threads, kernel) for kernel in compiled for threads in (1, 2)]
    plans += [Configuration("default", 2, "torch-fp64"), Configuration(highest, 1, "torch-int8")]
    plans += [Configuration("default", 1, "torch-fp32")]
    roots = {str(plan): run(plan, 4, data) for plan in plans}
    first = Configuration(highest, 2, best)
    roots["saving"] = run(first, 4, data, "--checkpoints", folder, "--every", "1")
    for at in (1, 2, 3):
        plan = plans[at % len(plans)]
        roots[f"resumed at {at}"] = run(plan, 4, data, "--checkpoints", folder, "--resume", str(at))
    assert len(set(roots.values())) == 1, roots
    assert run(first, 3, data) not in roots.values()


def test_fifty_steps_of_the_first_kernel_here_end_at_the_published_root(tmp_path: Path) -> None:
    compiled = [f"compiled-{v}" for v in library.VARIANTS if library.load(v) is not None]
    kernel = (compiled or ["torch-fp64"])[0]
    root, _ = run(Configuration(caps_here()[-1], 1, kernel), 50, ensure_default(tmp_path / "data").folder)
    assert root == FIFTY_STEPS
