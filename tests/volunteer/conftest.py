"""Pieces of a volunteer around a small gateway."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from seam import SmallGateway, serving

from consensus.arithmetic import choose_engine
from node.volunteer.api import Gateway
from node.volunteer.beats import Beats
from node.volunteer.board import Board
from node.volunteer.control import Control
from node.volunteer.home import VolunteerHome
from node.volunteer.limits import Gate
from node.volunteer.limits_desk import LimitsDesk
from node.volunteer.session import Session
from node.volunteer.settings import VolunteerSettings

WAIT_S = 60.0
engine = cache(choose_engine)


def until(condition: Callable[[], object], what: str = "the condition", seconds: float = WAIT_S) -> None:
    """Poll until it holds; fails with `what` after a deadline."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what} did not come about within {seconds:.0f} s"
        time.sleep(0.01)


@dataclass
class Volunteer:
    """One volunteer in this process."""

    home: VolunteerHome
    control: Control
    board: Board
    desk: LimitsDesk
    gateway: Gateway
    session: Session

    def said(self) -> str:
        """The whole log."""
        return "\n".join(line.text for line in self.board.whole().log)

    def step(self) -> int:
        """Steps done of the batch under way."""
        batch = self.board.now().batch
        return 0 if batch is None else batch.step

    @contextmanager
    def running(self) -> Iterator[threading.Thread]:
        """Its session in a thread, with heartbeats; stopped at the end."""
        failed: list[BaseException] = []

        def work() -> None:
            try:
                self.session.run()
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=work, daemon=True)
        with Beats(self.gateway, self.control, self.board).running():
            thread.start()
            try:
                yield thread
            finally:
                self.control.halt()
                thread.join(WAIT_S)
        assert not thread.is_alive()
        assert not failed, failed


def make_volunteer(folder: Path, url: str, **settings: object) -> Volunteer:
    """A volunteer whose files are in `folder`."""
    home = VolunteerHome.of(folder, url)
    control, board = Control(), Board(url)
    desk = LimitsDesk(folder, VolunteerSettings.model_validate(settings), board)
    key = home.key()
    gateway = Gateway(url, key, control, board)
    gate = Gate(desk.limits, battery=lambda: None)
    session = Session(home, gateway, control, board, desk.limits, gate, key, checkpoint_steps=1, engine=engine())
    return Volunteer(home, control, board, desk, gateway, session)


@pytest.fixture
def small() -> SmallGateway:
    """A gateway that tests may change."""
    return SmallGateway()


@pytest.fixture
def url(small: SmallGateway) -> Iterator[str]:
    """Where it is served."""
    with serving(small) as address:
        yield address
