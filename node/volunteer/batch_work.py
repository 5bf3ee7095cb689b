"""One batch from its lease to its receipt: fetched, trained within the limits, encoded, brought."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from consensus.arithmetic.engine import Engine
from consensus.errors import ConsensusError
from node import paths
from node.gateway.problems import Code
from node.gateway.schemas import Receipt
from node.gateway.wire import UploadError
from node.volunteer import machine
from node.volunteer.api import Gateway
from node.volunteer.board import Board
from node.volunteer.control import Control
from node.volunteer.delivery import Delivery
from node.volunteer.download import fetch, keep_newest, require_space
from node.volunteer.errors import LeaseLostError, RefusedError, StoppedError, TooLargeError
from node.volunteer.finish import goes_on_from_nothing, write_body
from node.volunteer.home import VolunteerHome
from node.volunteer.job import JobFolder, JobRecord
from node.volunteer.limits import Gate
from node.volunteer.panel_schemas import Level, Transfer
from node.volunteer.progress import Progress
from node.volunteer.residuals import Residuals
from node.volunteer.training import BatchTrainer, StepDone

LOOK_SECONDS: Final = 5.0
"""How often a closed gate is looked at again."""
_AFTER_LOSS_SECONDS: Final = 1.0
_KEPT_MODELS, _KEPT_DATA = 2, 4
_STATES_ON_DISK: Final = 4
_FP32_SETS: Final = 4 * 3
"""Bytes of a parameter in a state: weights and both moments."""


@dataclass
class BatchWork:
    """Runs in the session's thread. `apply` puts limits in force that have changed."""

    home: VolunteerHome
    gateway: Gateway
    control: Control
    board: Board
    gate: Gate
    engine: Engine
    apply: Callable[[], None]
    checkpoint_steps: int = 8
    worker_id: str = ""

    def __post_init__(self) -> None:
        self.folder, self.residuals = JobFolder(self.home.work), Residuals(self.home.residuals)
        self.delivery = Delivery(self.gateway, self.folder, self.residuals, self.control, self.board)
        self.progress = Progress(self.board, self.control)

    def run(self, record: JobRecord) -> None:
        """A whole batch; what is lost or refused is dropped and said.

        Raises:
            StoppedError: with the state on disk. TooLargeError, ConsensusError: not on this machine; the batch is given
            back. DiskError, AnswerError.
        """
        self.control.idle = False
        self.control.hold(record.offer.lease_id)
        try:
            self._train(record)
            self._deliver(record)
        except (LeaseLostError, RefusedError) as error:
            self.board.log(error.message, "warning")
            self.folder.clear()
            self.control.sleep(_AFTER_LOSS_SECONDS)
        except (TooLargeError, ConsensusError) as error:
            self.board.log(error.message, "error")
            self._give_back(record)
            raise
        finally:
            self.control.idle = True
            self.board.update(batch=None, transfer=None)

    def _train(self, record: JobRecord) -> None:
        machine.require_memory(record.config(), self.engine)
        model, data = self._fetch(record)
        trainer = BatchTrainer(self.engine, self.folder, record, model, data)
        self.progress.begin(record, trainer.state.step)

        def between(done: StepDone | None) -> None:
            self._between(record, trainer, done)

        trainer.run(self.checkpoint_steps, between)
        self.delivery.settle()
        write_body(self.folder, record, trainer, self.worker_id, self.residuals)
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
            self.control.sleep(LOOK_SECONDS)
        self.apply()
        self.board.update(phase="finishing" if self.control.wish == "finish" else "training", reason="")

    def _fetch(self, record: JobRecord) -> tuple[Path, Path]:
        self.board.update(phase="downloading", reason="", model=record.model)
        model, offer = record.model, record.offer
        require_space(self.home.work, _FP32_SETS * _STATES_ON_DISK * record.config().parameters)
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

    def bring_leftover(self) -> None:
        """Bring an upload that was finished before the process ended."""
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
        raw = 4 * record.model.num_parameters
        self.board.count(bytes_raw=raw)
        words = f"Uploaded {size / 1000:,.1f} kB ({size / raw:.1%} of the update): {receipt.state} {receipt.reason}"
        self.board.log(words.rstrip(), _level(receipt))
        done = {"rejected": 1} if receipt.state == "rejected" else {"batches": 1, "tokens": _tokens(record)}
        self.board.count(**done)
        self.folder.clear()

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


def _tokens(record: JobRecord) -> int:
    return record.offer.num_samples * record.model.architecture.seq_len


def _level(receipt: Receipt) -> Level:
    return "warning" if receipt.state == "rejected" else "good"
