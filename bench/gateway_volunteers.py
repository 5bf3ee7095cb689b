"""Many volunteers in one process, each the real client with an account, a home and an engine of its own.

`python -m bench.gateway_volunteers URL FOLDER COUNT SECONDS`: trains until the time is over, finishes what is under
way, and prints one JSON document: every receipt, and how long each call took.
"""

from __future__ import annotations

import json
import re
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from consensus.arithmetic import choose_engine, set_threads
from node.errors import PonwError
from node.gateway.schemas import Receipt
from node.volunteer.api import Gateway
from node.volunteer.board import Board
from node.volunteer.control import Control
from node.volunteer.delivery import Delivery
from node.volunteer.home import VolunteerHome
from node.volunteer.job import JobRecord
from node.volunteer.limits import Gate
from node.volunteer.panel_schemas import Limits
from node.volunteer.session import Session

FINISH_SECONDS = 120.0
VERSION = re.compile(r"v[0-9]{2,}|v0")


@dataclass
class Measured:
    """What all volunteers of this process saw."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    receipts: dict[str, str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answered(self, request: httpx.Request, status: int, seconds: float) -> None:
        """Note one answer."""
        parts = [part for part in request.url.path.split("/") if len(part) != 36 and not VERSION.fullmatch(part)]
        route = f"{request.method} {'/'.join(parts)}"
        with self._lock:
            self.seconds[route].append(seconds)
            if status >= 500 and status != 503:
                self.failures.append(f"{route}: {status}")

    def received(self, receipt: Receipt) -> None:
        """Note what the gateway said of an upload."""
        with self._lock:
            self.receipts[receipt.update_id] = receipt.state


class TimedTransport(httpx.HTTPTransport):
    """The ordinary transport with a clock: from the request to the head of its answer."""

    def __init__(self, measured: Measured) -> None:
        super().__init__()
        self._measured = measured

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send, wait, note."""
        began = time.perf_counter()
        response = super().handle_request(request)
        self._measured.answered(request, response.status_code, time.perf_counter() - began)
        return response


class Timed(Gateway):
    """The client over that transport."""

    def __init__(self, url: str, key: str, control: Control, board: Board, measured: Measured) -> None:
        super().__init__(url, key, control, board)
        self._client._transport = TimedTransport(measured)


class Noting(Delivery):
    """Notes each receipt."""

    measured: Measured

    def bring(self, record: JobRecord) -> Receipt:
        """As it is."""
        receipt = super().bring(record)
        self.measured.received(receipt)
        return receipt


def volunteer(url: str, folder: Path, measured: Measured, control: Control) -> Callable[[], None]:
    """One volunteer's whole session, ready to run."""
    home = VolunteerHome.of(folder, url)
    board = Board(url)
    key = home.key()
    limits = Limits(max_samples=8, pause_on_battery=False, cpu_threads=1)
    engine = choose_engine(1)
    session = Session(
        home, Timed(url, key, control, board, measured), control, board, lambda: limits, Gate(lambda: limits), key,
        username=folder.name, engine=engine,
    )  # fmt: skip

    work = session.work
    noting = Noting(session.gateway, work.folder, work.residuals, control, board)
    noting.measured = measured
    work.delivery = noting

    def run() -> None:
        try:
            session.run()
        except PonwError as error:
            measured.failures.append(f"{folder.name}: {error.message}")

    return run


def main() -> None:
    """Run them all."""
    url, where, count, seconds = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    set_threads(1)
    measured = Measured()
    controls = [Control() for _ in range(count)]
    runs = [volunteer(url, where / f"v{at:03d}", measured, control) for at, control in enumerate(controls)]
    threads = [threading.Thread(target=run, daemon=True) for run in runs]
    for thread in threads:
        thread.start()
    time.sleep(seconds)  # the length of the run
    for control in controls:
        control.set("finish")
    end = time.monotonic() + FINISH_SECONDS
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    late = sum(thread.is_alive() for thread in threads)
    if late:
        measured.failures.append(f"{late} volunteers did not finish within {FINISH_SECONDS:.0f} s")
    shown: dict[str, Any] = {
        "receipts": measured.receipts, "failures": measured.failures, "seconds": dict(measured.seconds),
    }  # fmt: skip
    print(json.dumps(shown))


if __name__ == "__main__":
    main()
