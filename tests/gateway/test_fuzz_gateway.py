"""Malformed uploads to a running gateway, in short (`make fuzz-gateway` sends 10,000)."""

from __future__ import annotations

import pytest

from bench.fuzz_gateway import SPOILS, fuzz, is_sound


@pytest.mark.process
def test_malformed_uploads_do_no_harm() -> None:
    found = fuzz(150, 2)
    assert found["uploads"] >= 150
    assert is_sound(found), found
    assert len(found["answers"]) >= 3, "it did not refuse everything for one reason"
    assert len(SPOILS) == 12
