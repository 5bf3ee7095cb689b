"""A volunteer's session: sign in, then one batch after the other until the owner wants no more."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from consensus.arithmetic import choose_engine
from consensus.arithmetic.engine import Engine
from consensus.errors import ConsensusError
from node import paths
from node.gateway.problems import Code
from node.gateway.schemas import BatchRequest, Hardware, Model, Receipt
from node.gateway.wire import UploadError
from node.volunteer import machine
from node.volunteer.api import Gateway
from node.volunteer.board import Board
from node.volunteer.control import Control
from node.volunteer.delivery import Delivery
from node.volunteer.download import fetch, keep_newest, require_space
from node.volunteer.enrolment import sign_in
from node.volunteer.errors import (
    AnswerError,
    LeaseLostError,
    NoWorkError,
    RefusedError,
    StoppedError,
    TooLargeError,
    WishChangedError,
)
from node.volunteer.finish import goes_on_from_nothing, write_body
from node.volunteer.home import VolunteerHome
from node.volunteer.job import JobFolder, JobRecord
from node.volunteer.limits import Gate
from node.volunteer.panel_schemas import Level, Limits, Transfer
from node.volunteer.progress import Progress
from node.volunteer.residuals import Residuals
from node.volunteer.training import BatchTrainer, StepDone

_LOOK_SECONDS = 5.0
_NO_WORK_SECONDS = 15.0
_KEPT_MODELS, _KEPT_DATA = 2, 4
_STATES_ON_DISK = 4


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
    username: str | None = None
    checkpoint_steps: int = 8
    engine: Engine = field(default_factory=choose_engine)
    _threads: int = field(default=0, init=False)
    _applied: Limits | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.folder, self.residuals = JobFolder(self.home.work), Residuals(self.home.residuals)
        self.delivery = Delivery(self.gateway, self.folder, self.residuals, self.control, self.board)
        self.progress = Progress(self.board, self.control)
        self.worker_id = ""

    def run(self) -> None:
        """Until the session is over: finished, its batches done, or stopped.

        Raises:
            DiskError, AnswerError, TooLargeError, ConsensusError: nothing more can be done here; state is on disk.
        """
        self.board.update(session=self.board.now().session.model_copy(update={"started_at": int(time.time())}))
        try:
            self._sign_in()
            self._bring_leftover()
            while (record := self._next()) is not None:
                self._attempt(record)
        except StoppedError as error:
            self.board.log(error.message)
        except WishChangedError:
            self.board.log("Finished before the gateway answered")
        finally:
            self.board.update(phase="stopped", transfer=None, reason="")

    # --- around batches ---

    def _sign_in(self) -> None:
        self._apply()
        self.board.update(machine_notes=machine.notes(), hardware=self._hardware())
        while True:
            try:
                self.worker_id = sign_in(
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
        mine = self.gateway.worker_stats()
        self.board.update(worker=mine, username=mine.username, network=self.gateway.global_stats())

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
            self.control.sleep(_LOOK_SECONDS)

    def _request(self) -> JobRecord:
        self.board.update(phase="idle", reason="", hardware=self._hardware())
        offer = self.gateway.request(BatchRequest(hardware=self._hardware(), samples=self.limits().max_samples))
        before = self.folder.load()
        if before is not None and before.offer.lease_id == offer.lease_id:
            self.board.log(f"Taking up batch {offer.batch_id[:8]} again")
            return before
        record = JobRecord(offer=offer, model=self._model(offer.model_version))
        record.config()
        self.folder.begin(record)
        self.board.log(f"Batch {offer.batch_id[:8]}: {offer.num_samples} samples of {offer.model_version}")
        return record

    def _model(self, version: str) -> Model:
        current = self.gateway.current()
        for model in [current] if current.version == version else self.gateway.versions():
            if model.version == version:
                return model
        raise AnswerError(f"The gateway offers work on {version} and does not have it.", "Tell its operator.")

    # --- one batch ---

    def _attempt(self, record: JobRecord) -> None:
        self.control.idle = False
        self.control.hold(record.offer.lease_id)
        try:
            self._train(record)
            self._deliver(record)
        except LeaseLostError as error:
            self.board.log(error.message, "warning")
            self.folder.clear()
        except (TooLargeError, ConsensusError) as error:
            self.board.log(error.message, "error")
            self._give_back(record)
            raise
        finally:
            self.control.idle = True
            self.board.update(batch=None, transfer=None)

    def _train(self, record: JobRecord) -> None:
        machine.require_memory(record.config())
        model, data = self._fetch(record)
        trainer = BatchTrainer(self.engine, self.folder, record, model, data)
        self.progress.begin(record, trainer.state.step)

        def between(done: StepDone | None) -> None:
            self._between(record, trainer, done)

        trainer.run(self.checkpoint_steps, between)
        self.delivery.settle()
        raw = write_body(self.folder, record, trainer, self.worker_id, self.residuals)
        self.board.count(bytes_raw=raw)
        self.progress.trained()
        paths.write_atomic(self.home.speed_file, json.dumps(self.progress.tokens_per_s).encode())

    def _between(self, record: JobRecord, trainer: BatchTrainer, done: StepDone | None) -> None:
        if done is not None:
            self.progress.step(done)
            if not trainer.done:
                self.control.sleep(self.gate.rest(done.seconds))
        self.control.check()
        while not trainer.done:
            if self.control.lost:
                raise LeaseLostError(f"Batch {record.offer.batch_id[:8]} has gone to somebody else.")
            closed = self.gate.closed()
            if closed and self.control.wish == "finish":
                raise StoppedError("Finishing while no step may run; the batch is taken up again next time.")
            reason = "paused" if self.control.wish == "pause" else closed
            if not reason:
                break
            trainer.save()
            self.board.update(phase="paused", reason=reason)
            self.control.sleep(_LOOK_SECONDS)
        self._apply()
        self.board.update(phase="finishing" if self.control.wish == "finish" else "training", reason="")

    def _fetch(self, record: JobRecord) -> tuple[Path, Path]:
        self.board.update(phase="downloading", reason="", model=record.model)
        model, offer = record.model, record.offer
        require_space(self.home.work, 4 * 3 * _STATES_ON_DISK * record.config().parameters)
        paths_ = (self.home.models / f"{model.sha256}.safetensors", self.home.data / f"{offer.data_sha256}.u16")
        known = paths_[0].exists()
        self._download(model.url, paths_[0], model.size, model.sha256, f"model {model.version}")
        if not known:
            self.board.log(f"Downloaded model {model.version} ({model.num_parameters:,} parameters)")
        self._download(offer.data_url, paths_[1], record.data_bytes, offer.data_sha256, "tokens")
        for path in paths_:
            path.touch()
        keep_newest(self.home.models, _KEPT_MODELS)
        keep_newest(self.home.data, _KEPT_DATA)
        return paths_

    def _download(self, url: str, target: Path, size: int, sha256: str, name: str) -> None:
        def progress(new: int, done: int, whole: int) -> None:
            self.control.check()
            self.board.count(bytes_down=new)
            self.board.update(transfer=Transfer(name=name, direction="down", done=done, size=whole))

        fetch(self.gateway, url, target, size, sha256, progress)
        self.board.update(transfer=None)

    def _bring_leftover(self) -> None:
        """An upload that was finished before the process ended."""
        record = self.folder.load()
        if record is not None and self.folder.upload.exists():
            self.board.log(f"Bringing batch {record.offer.batch_id[:8]}, which was finished before")
            self.control.idle = False
            self._deliver(record)
            self.control.idle = True

    def _deliver(self, record: JobRecord) -> None:
        self.board.update(phase="uploading", reason="")
        size = self.folder.upload.stat().st_size
        try:
            receipt = self._bring(record)
        except (RefusedError, UploadError) as error:
            self.board.log(f"{error.message} The batch is dropped.", "error")
            self.board.count(rejected=1)
            self.folder.clear()
            return
        self.board.log(f"Uploaded {size / 1e6:.2f} MB: {receipt.state} {receipt.reason}".rstrip(), _level(receipt))
        done = {"rejected": 1} if receipt.state == "rejected" else {"batches": 1, "tokens": _tokens(record)}
        self.board.count(**done)
        self.folder.clear()
        self._look_up()

    def _bring(self, record: JobRecord) -> Receipt:
        try:
            return self.delivery.bring(record)
        except RefusedError as error:
            starts_over = error.code in {Code.MISMATCH, Code.RESIDUAL}
            if not starts_over or goes_on_from_nothing(self.delivery.header(), record):
                raise
        self.board.log("The gateway knows another residual: error feedback begins anew", "warning")
        self.residuals.restart()
        self.folder.upload.unlink()
        self._train(record)
        return self.delivery.bring(record)

    def _give_back(self, record: JobRecord) -> None:
        try:
            self.gateway.release(record.offer.batch_id)
        except RefusedError as error:
            self.board.log(error.message, "warning")
        self.folder.clear()

    # --- this machine ---

    def _apply(self) -> None:
        """Put limits in force that have changed."""
        limits = self.limits()
        if limits != self._applied:
            self._threads, self._applied = machine.apply(limits), limits
            self.board.update(limits=limits)

    def _hardware(self) -> Hardware:
        speed = self.progress.tokens_per_s or _speed(self.home)
        return machine.hardware(self.engine.name, self._threads, speed)


def _tokens(record: JobRecord) -> int:
    return record.offer.num_samples * record.model.architecture.seq_len


def _level(receipt: Receipt) -> Level:
    return "warning" if receipt.state == "rejected" else "good"


def _speed(home: VolunteerHome) -> float:
    try:
        found = json.loads(paths.read_bounded(home.speed_file, 1 << 10))
    except (FileNotFoundError, ValueError):
        return 0.0
    return float(found) if isinstance(found, int | float) and 0 <= found <= 1e12 else 0.0
