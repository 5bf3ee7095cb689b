"""Two volunteers and the real gateway as a process: replicas agree bit for bit, and who has earned trust carries error
feedback over, audited all the time."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from conftest import make_volunteer, until
from real_gateway import RealGateway, free_port

from consensus.arithmetic import choose_engine

pytestmark = pytest.mark.process


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[RealGateway]:
    """Two replicas of newcomers; trust after a few batches; everything is trained again."""
    (tmp_path / "home").mkdir()
    options = {"replicas": 2, "trusted_reputation": 1_500, "codec": "fourlevel", "aggregate_updates": 6}
    gateway = RealGateway(tmp_path / "home", tmp_path / "text", free_port(), options)
    try:
        gateway.start()
        yield gateway
    finally:
        gateway.stop(signal.SIGTERM)


def test_replicas_agree_and_trust_is_earned(strict: RealGateway, tmp_path: Path) -> None:
    people = [make_volunteer(tmp_path / name, strict.url, max_samples=64) for name in ("ada", "bob")]
    for one in people:
        one.session.work.engine = choose_engine(1)  # an engine is for one thread

    def carried() -> list[dict[str, object]]:
        return [row for row in strict.rows("gradient_updates") if row["residual_out"] is not None]

    with people[0].running(), people[1].running():
        until(lambda: len(carried()) >= 4, "four uploads that carry over")
        for one in people:
            one.control.set("finish")
        until(lambda: all(one.board.now().phase == "stopped" for one in people), "the end")
    updates = strict.rows("gradient_updates")
    assert not [row["reason"] for row in updates if row["state"] == "rejected"]
    pairs: dict[object, list[dict[str, object]]] = {}
    for row in updates:
        pairs.setdefault(row["batch_id"], []).append(row)
    both = [rows for rows in pairs.values() if len(rows) == 2 and rows[0]["residual_out"] is None]
    assert both
    assert all(rows[0]["result_hash"] == rows[1]["result_hash"] for rows in both)
    for who in {row["worker_id"] for row in carried()}:
        chain = [row for row in carried() if row["worker_id"] == who]
        chain.sort(key=lambda row: int(str(row["uploaded_at"])))
        assert all(a["residual_out"] == b["residual_in"] for a, b in pairwise(chain))
    until(lambda: _only_waiting(strict), "decisions")


def _only_waiting(gateway: RealGateway) -> bool:
    """Whether the updates that are not decided wait for a replica that nobody will bring any more."""
    held = [row for row in gateway.rows("gradient_updates") if row["state"] == "held"]
    return all(row["residual_out"] is None for row in held)
