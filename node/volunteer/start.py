"""A volunteer's process put together: one thread trains, one beats, one may serve the panel, the main one shows."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

from consensus.arithmetic import choose_engine
from consensus.errors import ConsensusError
from node.errors import PonwError
from node.volunteer import machine
from node.volunteer.api import Gateway
from node.volunteer.beats import Beats
from node.volunteer.board import Board
from node.volunteer.control import Control
from node.volunteer.errors import VolunteerError
from node.volunteer.home import VolunteerHome
from node.volunteer.limits import Gate
from node.volunteer.limits_desk import LimitsDesk
from node.volunteer.panel import Panel, serve_panel
from node.volunteer.panel_schemas import LogLine, PanelState, Wish
from node.volunteer.session import Session
from node.volunteer.settings import VolunteerSettings

_TICK_S: Final = 0.25
_WRITE_TICKS: Final = 8
_PANEL_ATTEMPTS: Final = 2
Show = Callable[[list[LogLine], PanelState], None]
"""Called four times a second with new lines of the log and the state (with its whole log)."""


def volunteer(
    home: Path, url: str, settings: VolunteerSettings, show: Show, panel: tuple[str, int] | None, wish: Wish
) -> None:
    """Volunteer until the session is over.

    Raises:
        BusyHomeError, WalletError, ServerError, DiskError, AnswerError, RefusedError, TooLargeError, ConsensusError.
    """
    place = VolunteerHome.of(home, url)
    control, board = Control(wish), Board(url)
    board.update(wish=wish)
    with ExitStack() as stack:
        stack.enter_context(place.locked())
        place.remember()
        key, desk = place.key(), LimitsDesk(home, settings, board)
        gateway = Gateway(url, key, control, board)
        stack.callback(gateway.close)
        if url.startswith("http://") and not url.startswith(("http://127.0.0.1", "http://localhost", "http://[::1]")):
            board.log("This address is not encrypted: who listens on the way can use your account", "warning")
        stack.enter_context(_signals(control, board))
        stack.enter_context(Beats(gateway, control, board).running())
        if panel is not None:
            _open_panel(stack, Panel(control, board, desk, _impatient(stack, url, key, control, board)), panel)
        session = Session(
            place,
            gateway,
            control,
            board,
            desk.limits,
            Gate(desk.limits),
            key,
            choose_engine(machine.apply(desk.limits()), devices=True),
            settings.username,
            settings.checkpoint_steps,
        )
        _until_over(session, place, board, show)


def _impatient(stack: ExitStack, url: str, key: str, control: Control, board: Board) -> Gateway:
    gateway = Gateway(url, key, control, board, attempts=_PANEL_ATTEMPTS)
    stack.callback(gateway.close)
    return gateway


def _open_panel(stack: ExitStack, panel: Panel, at: tuple[str, int]) -> None:
    address = stack.enter_context(serve_panel(panel, *at))
    # Printed, never logged: who has the address has the buttons.
    sys.stderr.write(f"panel: {address}\n")
    sys.stderr.flush()


def _until_over(session: Session, place: VolunteerHome, board: Board, show: Show) -> None:
    """Run the session in a thread and show what it does; what ended it is raised here."""
    outcome: list[Exception | None] = []
    over = threading.Event()

    def work() -> None:
        try:
            session.run()
            outcome.append(None)
        except (PonwError, ConsensusError, OSError) as error:
            outcome.append(error)
        finally:
            over.set()

    thread = threading.Thread(target=work, name="session", daemon=True)
    thread.start()
    tick, seen, written = 0, 0, -1
    while True:
        ended = over.wait(_TICK_S)
        seen, lines = board.lines_after(seen)
        show(lines, board.whole())
        if ended or (tick % _WRITE_TICKS == 0 and board.version != written):
            written = board.version
            board.write(place)
        if ended:
            break
        tick += 1
    thread.join()
    if not outcome:
        raise VolunteerError("The session ended by a fault of the program, shown above.", "Start it again; report it.")
    if outcome[0] is not None:
        raise outcome[0]


@contextmanager
def _signals(control: Control, board: Board) -> Iterator[None]:
    """Ctrl-C: finish; again: stop now; a third time: end without waiting. SIGTERM stops now."""

    def ask(number: int, _frame: FrameType | None) -> None:
        if control.halted:
            raise KeyboardInterrupt
        if number == signal.SIGTERM or control.wish == "finish":
            control.halt()
            return
        control.set("finish")
        board.update(wish="finish")

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
