"""Malformed uploads to a running gateway, in short (`make fuzz-gateway` sends 10,000)."""

from __future__ import annotations

import pytest

from bench.fuzz_gateway import SPOILS, fuzz, is_sound

HALF_A_BOMB = 512 << 20
"""So few uploads end before the gateway has settled; a bomb that went off would show."""


@pytest.mark.process
def test_malformed_uploads_do_no_harm() -> None:
    found = fuzz(150, 2)
    assert found["uploads"] >= 150
    assert is_sound(found, HALF_A_BOMB), found
    assert len(found["answers"]) >= 3, "it did not refuse everything for one reason"
    assert len(SPOILS) == 12
