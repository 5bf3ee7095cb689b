"""Two quorums and two async nodes over the real peer network, a process each, on real text: one root after each round,
and a contributor that was offline counts late."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from bench.accounts import NumberedAccount
from bench.cohort_fleet import start
from consensus.training.outer import update_weight
from node.data.corpus import ensure_default

pytestmark = [pytest.mark.process, pytest.mark.long]
STEPS = 2
HELD = ["0:2", "2:4", "0:2", "2:4", "async 0:4", "async 0:4"]
AWAY = NumberedAccount(6).account.hex()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_six_members_hold_one_root_and_one_that_was_offline_counts_late(tmp_path: Path, stack: ExitStack) -> None:
    ensure_default(tmp_path / "data")
    more = ["--model", "micro", "--steps", str(STEPS), "--rounds", "60", "--heartbeat", "2", "--ask", "1"]
    nodes = start(tmp_path, stack, tmp_path / "data", HELD, more, {6: ["--offline", "2"]})
    quorums = {node.until("quorum")["quorum"] for node in nodes[:4]}
    assert len(quorums) == 2

    first = [node.until("round", 1) for node in nodes]
    assert len({said["root"] for said in first}) == 1
    alone = {NumberedAccount(number).account.hex() for number in (5, 6)}
    fresh = update_weight(STEPS)
    assert {tuple(one) for one in first[0]["counted"]} == {(source, 1, fresh) for source in quorums | alone}
    assert len({said["loss"] for said in first if "loss" in said}) == 1

    second = [node.until("round", 2) for node in nodes[:5]]
    assert len({said["root"] for said in second}) == 1
    assert AWAY not in {source for source, *_ in second[0]["counted"]}
    nodes[5].go()
    # The round that it comes into may have been voted on before its work was heard; then the next one counts it.
    back = nodes[5].until("round")
    if (AWAY, 2) not in worked(back):
        back = nodes[5].until("round")
    others = [node.until("round", back["round"]) for node in nodes[:5]]
    assert {said["root"] for said in others} == {back["root"]}
    assert (AWAY, 2) in worked(back)
    assert not back["faults"]


def worked(said: dict[str, Any]) -> set[tuple[str, int]]:
    """Sources that counted in a round, each with the round that it trained for."""
    return {(source, base) for source, base, _ in said["counted"]}
