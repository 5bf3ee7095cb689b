"""The demonstration's times follow the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.gateway_house import MICRO
from consensus.arithmetic import choose_engine
from economics.networks import DEVNET
from node.data.corpus import ensure_default
from node.demo.pace import SLOWEST, STEP_SECONDS, paced
from node.training.work import Workshop


@pytest.mark.parametrize(("step", "factor"), [(STEP_SECONDS / 10, 1), (STEP_SECONDS * 2, 2), (60.0, SLOWEST)])
def test_windows_are_as_many_times_longer_as_a_step(step: float, factor: int, tmp_path: Path) -> None:
    shop = Workshop(MICRO, choose_engine(), ensure_default(tmp_path))
    times = paced(shop, iter((100.0, 100.0 + step)).__next__)
    assert (times.window, times.response) == (factor * DEVNET.window, factor * DEVNET.response)
    assert (times.extension, times.thaw) == (factor * DEVNET.extension, factor * DEVNET.thaw)
    assert times.train_time == DEVNET.train_time
