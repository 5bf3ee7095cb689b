"""How a batch goes: steps, speed, and how long it will take."""

from __future__ import annotations

from node.volunteer.board import Board
from node.volunteer.control import Control
from node.volunteer.job import JobRecord
from node.volunteer.panel_schemas import BatchProgress
from node.volunteer.training import StepDone

_MEMORY = 0.8
"""How much of the speed so far a step leaves as it was."""


class Progress:
    """Keeps the board's batch up to date."""

    def __init__(self, board: Board, control: Control) -> None:
        self._board, self._control = board, control
        self._batch: BatchProgress | None = None
        self._step_tokens = 0
        self._losses: list[float] = []
        self.tokens_per_s = 0.0

    def begin(self, record: JobRecord, step: int) -> None:
        """A batch that stands at `step`."""
        shape, offer = record.model.architecture, record.offer
        self._step_tokens = shape.batch * shape.seq_len
        self._losses = []
        self._batch = BatchProgress(
            batch_id=offer.batch_id,
            model_version=offer.model_version,
            samples=offer.num_samples,
            step=step,
            steps=offer.steps,
            tokens=step * self._step_tokens,
            expires_at=offer.expires_at,
        )
        self._board.update(batch=self._batch)
        if step:
            self._board.log(f"Going on at step {step} of {offer.steps}")

    def step(self, done: StepDone) -> None:
        """One more step."""
        if self._batch is None:
            return
        speed = self._step_tokens / max(done.seconds, 1e-9)
        self.tokens_per_s = speed if not self.tokens_per_s else self.tokens_per_s * _MEMORY + speed * (1 - _MEMORY)
        self._losses.append(done.loss)
        left = (self._batch.steps - done.step) * self._step_tokens / self.tokens_per_s
        self._batch = self._batch.model_copy(
            update={
                "step": done.step,
                "tokens": done.step * self._step_tokens,
                "loss": done.loss,
                "tokens_per_s": self.tokens_per_s,
                "seconds_left": left,
            }
        )
        self._board.update(batch=self._batch)

    def trained(self) -> None:
        """The batch is done."""
        if self._losses:
            mean = sum(self._losses) / len(self._losses)
            self._board.log(f"Training complete (loss {mean:.4f}, {self.tokens_per_s:,.0f} tokens/s)")
