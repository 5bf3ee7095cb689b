"""Attacks by name, in small (`make attack-gateway` runs them longer): real training, real intake, real database."""

from __future__ import annotations

from typing import Any

import pytest

from bench.gateway_attacks import Size, names, run
from node.data.corpus import ensure_default
from node.data.dataset import Dataset

SIZE = Size(volunteers=10, versions=4, samples=32, updates=8)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return ensure_default(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def clean(dataset: Dataset) -> dict[str, Any]:
    found = run(dataset, SIZE, None)
    assert found["loss"] < found["start"] - 0.5, "it learns"
    assert found["honest_refused"] == 0
    return found


@pytest.mark.parametrize(("name", "lie", "trusted", "back"), list(names()), ids=[name for name, *_ in names()])
def test_three_in_ten_do_no_harm_and_are_found(
    dataset: Dataset, clean: dict[str, Any], name: str, lie: str, trusted: bool, back: bool
) -> None:
    found = run(dataset, SIZE, lie, trusted, back)
    assert abs(found["loss"] / clean["loss"] - 1) <= 0.02 or found["loss"] < clean["loss"]
    assert found["lies"] >= found["attackers"] >= 1
    assert found["honest_refused"] == 0
    if name == "trusted_little_is_enough":
        return  # within what honest uploads differ by: only the draw finds it, which takes longer than this run
    assert found["found"] == found["attackers"], f"all of them: {found}"
    assert found["reasons"], "and it is said why"
    if back:
        assert found["attackers"] > SIZE.attackers, "they came back"
