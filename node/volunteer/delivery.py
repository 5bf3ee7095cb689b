"""Bringing a finished batch to the gateway: exactly once, however often the process or the network dies on the way."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

import torch
from pydantic import ValidationError

from node.gateway import wire
from node.gateway.payload import raw_bytes
from node.gateway.problems import Code
from node.gateway.schemas import Receipt, UploadMeta
from node.storage.files import read_chunks, reporting
from node.volunteer.api import PREFIX, Gateway
from node.volunteer.board import Board
from node.volunteer.control import Control
from node.volunteer.errors import AnswerError, RefusedError
from node.volunteer.job import JobFolder, JobRecord
from node.volunteer.panel_schemas import Transfer
from node.volunteer.residuals import Residuals

_STATE_NAME: Final = re.compile(r"round-0000000000-step-(\d{10})\.safetensors")


class Delivery:
    """Uploads what one account's job folder holds."""

    def __init__(
        self, gateway: Gateway, folder: JobFolder, residuals: Residuals, control: Control, board: Board
    ) -> None:
        self._gateway, self._folder, self._residuals = gateway, folder, residuals
        self._control, self._board = control, board

    def header(self) -> UploadMeta:
        """Of the upload on disk. Raises UploadError, DiskError."""
        with reporting("read", self._folder.upload), self._folder.upload.open("rb") as file:
            return wire.read_meta(file)

    def bring(self, record: JobRecord) -> Receipt:
        """States that a claim needs, then the upload, then the residual if the gateway audits it. Everything may
        have been brought before; the gateway answers the same.

        Raises:
            RefusedError: the gateway does not take it. What `Gateway` raises; UploadError, DiskError.
        """
        meta = self.header()
        self._bring_states(record)
        size = self._folder.upload.stat().st_size
        answer = self._send("POST", "/gradients/upload", self._folder.upload, wire.MEDIA_TYPE, "update")
        receipt = _receipt(answer)
        self._board.count(bytes_up=size)
        if meta.residual_in and meta.residual_out:
            self._residuals.sent(receipt.update_id, meta.residual_in, meta.residual_out)
            if receipt.reveal_residual:
                receipt = self._reveal(record, meta.residual_in, receipt)
            self._decided(receipt)
        return receipt

    def settle(self) -> None:
        """Learn what became of the last upload with a residual, before another goes on from it.

        Raises what `Gateway` does; DiskError.
        """
        pending = self._residuals.chain().pending
        if pending is None:
            return
        try:
            self._decided(self._gateway.receipt(pending.update_id))
        except RefusedError:
            self._board.log("The gateway does not know the last upload: error feedback begins anew", "warning")
            self._residuals.restart()

    def _decided(self, receipt: Receipt) -> None:
        if receipt.state != "held":
            self._residuals.settle(receipt.update_id, receipt.state != "rejected")

    def _bring_states(self, record: JobRecord) -> None:
        if not self._folder.states.is_dir():
            return
        for path in sorted(self._folder.states.iterdir()):
            named = _STATE_NAME.fullmatch(path.name)
            if named is None:
                continue
            step = int(named[1])
            where = f"/batch/{record.offer.batch_id}/checkpoint/{step}"
            self._send("PUT", where, path, "application/octet-stream", f"state {step}")
            path.unlink()

    def _reveal(self, record: JobRecord, digest: str, receipt: Receipt) -> Receipt:
        """The residual that the upload went on from, as the audit asks."""
        shapes = record.config().shapes()
        path = self._residuals.path(digest)
        if path.is_file():
            with reporting("read", path):
                data = path.read_bytes()
        else:
            data = raw_bytes({name: torch.zeros(shape) for name, shape in shapes.items()})
        packed = io.BytesIO()
        wire.write_zstd(packed, data)
        self._board.log("The gateway audits this upload: sending the residual it went on from")
        try:
            answer = self._gateway.retrying(
                lambda: self._body("PUT", f"/gradients/{receipt.update_id}/residual", packed, "residual")
            )
        except RefusedError as error:
            if error.code != Code.NOT_ASKED:
                raise
            return self._gateway.receipt(receipt.update_id)
        return _receipt(answer)

    def _send(self, method: str, path: str, file: Path, media: str, name: str) -> bytes:
        def once() -> bytes:
            with reporting("read", file), file.open("rb") as opened:
                return self._body(method, path, opened, name, media)

        answer: bytes = self._gateway.retrying(once)
        return answer

    def _body(
        self, method: str, path: str, file: BinaryIO, name: str, media: str = "application/octet-stream"
    ) -> bytes:
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        headers = {"content-length": str(size), "content-type": media}
        try:
            with self._gateway.open(
                method, PREFIX + path, headers=headers, content=self._watched(file, name, size)
            ) as response:
                return response.read()[: 1 << 20]
        finally:
            self._board.update(transfer=None)

    def _watched(self, file: BinaryIO, name: str, size: int) -> Iterator[bytes]:
        done = 0
        for piece in read_chunks(file):
            self._control.check()
            yield piece
            done += len(piece)
            self._board.update(transfer=Transfer(name=name, direction="up", done=done, size=size))


def _receipt(answer: bytes) -> Receipt:
    try:
        return Receipt.model_validate_json(answer)
    except ValidationError as error:
        raise AnswerError("The gateway's receipt is malformed.", "Update ponw.") from error
