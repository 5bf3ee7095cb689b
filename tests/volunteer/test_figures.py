"""What `make bench-volunteer` measures, on a model small enough for a test. Arithmetic is exact, so the figures are the
same wherever this runs."""

from __future__ import annotations

from bench.volunteer import MODELS, measure


def test_a_tenth_of_the_bytes_and_a_hundredth_of_the_loss() -> None:
    found = measure(MODELS["micro"], (2, 6, 16), (("raw", False), ("fourlevel", True)))
    raw, small = found["cases"]
    assert raw["loss"] < found["start_loss"] - 2
    assert small["share_of_raw"] < 0.1
    assert abs(small["loss_against_raw"]) < 0.01
