"""Heartbeats: what they say, and that they come back."""

from __future__ import annotations

from pathlib import Path

from conftest import make_volunteer, until
from seam import SmallGateway, serving

from node.volunteer.beats import beat_of
from node.volunteer.board import Board
from node.volunteer.panel_schemas import BatchProgress

BATCH = "00000000-0000-4000-8000-000000000001"


def test_a_heartbeat_says_how_the_batch_goes() -> None:
    board = Board("https://a.example")
    idle = beat_of(board.now())
    assert idle is not None
    assert (idle.state, idle.batch_id, idle.loss) == ("idle", None, None)
    batch = BatchProgress(batch_id=BATCH, model_version="v1", samples=8, step=3, steps=9, tokens=1, loss=2.5)
    board.update(phase="training", batch=batch)
    training = beat_of(board.now())
    assert training is not None
    assert (training.state, training.batch_id, training.step, training.steps, training.loss) == (
        "training",
        BATCH,
        3,
        9,
        2.5,
    )
    board.update(phase="stopped")
    assert beat_of(board.now()) is None


def test_heartbeats_come_back_after_the_gateway(tmp_path: Path, small: SmallGateway) -> None:
    small.most = 0
    with serving(small) as url:
        one = make_volunteer(tmp_path, url)
        session = one.running()
        session.__enter__()
        until(lambda: small.beats, "a heartbeat")
    small.beats.clear()
    with serving(small, int(url.rpartition(":")[2])):
        until(lambda: small.beats, "a heartbeat to the gateway that is back")
        small.events.append({"type": "event", "kind": "version", "detail": {"version": "v9"}, "at": 0})
        small.events.append({"type": "something else"})
        one.board.update(phase="paused")  # a change is said at once, and lets the server speak
        until(lambda: "new version: v9" in one.said() and "does not know" in one.said(), "the messages")
        session.__exit__(None, None, None)
