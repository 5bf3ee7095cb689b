"""The fixtures of the pipeline tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from consensus.arithmetic import set_threads


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Members share the cores: one thread each."""
    before = torch.get_num_threads()
    set_threads(1)
    yield
    set_threads(before)
