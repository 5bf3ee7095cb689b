"""A small gateway for each test that asks for one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from small_gateway import SmallGateway, serving


@pytest.fixture
def small() -> SmallGateway:
    """A gateway that tests may change."""
    return SmallGateway()


@pytest.fixture
def url(small: SmallGateway) -> Iterator[str]:
    """Where it is served."""
    with serving(small) as address:
        yield address
