"""A volunteer's session: sign in, then one batch after the other until the owner wants no more."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from consensus.arithmetic.engine import Engine
from node import paths
from node.gateway.problems import Code
from node.gateway.schemas import BatchRequest, Hardware, Model
from node.volunteer import machine
from node.volunteer.api import Gateway
from node.volunteer.batch_work import LOOK_SECONDS, BatchWork
from node.volunteer.board import Board
from node.volunteer.control import Control
from node.volunteer.enrolment import sign_in
from node.volunteer.errors import (
    AnswerError,
    NoWorkError,
    RefusedError,
    StoppedError,
    WishChangedError,
)
from node.volunteer.home import VolunteerHome
from node.volunteer.job import JobRecord
from node.volunteer.limits import Gate
from node.volunteer.panel_schemas import Limits

_NO_WORK_SECONDS = 15.0


@dataclass
class Session:
    """Runs in one thread; everything else looks at `board` and speaks through `control`."""

    home: VolunteerHome
    gateway: Gateway
    control: Control
    board: Board
    limits: Callable[[], Limits]
    gate: Gate
    key: str
    engine: Engine
    username: str | None = None
    checkpoint_steps: int = 8
    _threads: int = field(default=0, init=False)
    _applied: Limits | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        parts = self.home, self.gateway, self.control, self.board, self.gate, self.engine, self._apply
        self.work = BatchWork(*parts, self.checkpoint_steps)

    def run(self) -> None:
        """Until the session is over: finished, its batches done, or stopped.

        Raises:
            DiskError, AnswerError, TooLargeError, ConsensusError: nothing more can be done here; state is on disk.
        """
        self.board.update(session=self.board.now().session.model_copy(update={"started_at": int(time.time())}))
        try:
            self._sign_in()
            self.work.bring_leftover()
            while (record := self._next()) is not None:
                self.work.run(record)
                self._look_up()
        except StoppedError as error:
            self.board.log(error.message)
        except WishChangedError:
            self.board.log("Finished before the gateway answered")
        finally:
            self.board.update(phase="stopped", transfer=None, reason="")

    # --- around batches ---

    def _sign_in(self) -> None:
        self._apply()
        self.board.update(machine_notes=machine.notes(self.engine), hardware=self._hardware())
        while True:
            try:
                self.work.worker_id = sign_in(
                    self.gateway, self.key, self.username, self._hardware(), self.board, self.control
                )
            except WishChangedError:
                if self.control.wish == "finish":
                    raise
                continue
            break
        self.board.log(f"Connected to {self.home.url}", "good")
        self._look_up()

    def _look_up(self) -> None:
        """Figures for the display."""
        try:
            mine = self.gateway.worker_stats()
            self.board.update(worker=mine, username=mine.username, network=self.gateway.global_stats())
        except WishChangedError:
            return  # a button is more urgent

    def _next(self) -> JobRecord | None:
        """The next batch, once there is one and the limits allow it; None when the session is over."""
        while True:
            self.control.idle = True
            try:
                if not self._may_begin():
                    return None
                return self._request()
            except WishChangedError:
                continue
            except NoWorkError as error:
                self._idle(error.message, error.retry_after or _NO_WORK_SECONDS)
            except RefusedError as error:
                if error.code != Code.API_KEY:
                    raise
                self._sign_in()

    def _idle(self, reason: str, seconds: float) -> None:
        self.board.update(phase="idle", reason=reason, batch=None)
        self.board.log(reason)
        try:
            self.control.sleep(seconds)
        except WishChangedError:
            return

    def _may_begin(self) -> bool:
        most = self.limits().max_batches
        while True:
            if self.control.wish == "finish":
                return False
            if most is not None and self.board.now().session.batches >= most:
                self.board.log(f"{most} batches done: that is as many as this session may do")
                return False
            reason = "paused" if self.control.wish == "pause" else self.gate.closed()
            if not reason:
                return True
            self.board.update(phase="paused", reason=reason)
            self.control.sleep(LOOK_SECONDS)

    def _request(self) -> JobRecord:
        self.board.update(phase="idle", reason="", hardware=self._hardware())
        offer = self.gateway.request(BatchRequest(hardware=self._hardware(), samples=self.limits().max_samples))
        before = self.work.folder.load()
        if before is not None and before.offer.lease_id == offer.lease_id:
            self.board.log(f"Taking up batch {offer.batch_id[:8]} again")
            return before
        record = JobRecord(offer=offer, model=self._model(offer.model_version))
        record.config()
        self.work.folder.begin(record)
        self.board.log(f"Batch {offer.batch_id[:8]}: {offer.num_samples} samples of {offer.model_version}")
        return record

    def _model(self, version: str) -> Model:
        current = self.gateway.current()
        for model in [current] if current.version == version else self.gateway.versions():
            if model.version == version:
                return model
        raise AnswerError(f"The gateway offers work on {version} and does not have it.", "Tell its operator.")

    # --- this machine ---

    def _apply(self) -> None:
        """Put limits in force that have changed."""
        limits = self.limits()
        if limits != self._applied:
            self._threads, self._applied = machine.apply(limits), limits
            self.board.update(limits=limits)

    def _hardware(self) -> Hardware:
        speed = self.work.progress.tokens_per_s or _speed(self.home)
        return machine.hardware(self.engine.name, self._threads, speed)


def _speed(home: VolunteerHome) -> float:
    try:
        found = json.loads(paths.read_bounded(home.speed_file, 1 << 10))
    except (FileNotFoundError, ValueError):
        return 0.0
    return float(found) if isinstance(found, int | float) and 0 <= found <= 1e12 else 0.0
