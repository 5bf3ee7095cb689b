"""Continuous batching: one thread that feeds every sequence's next row to the decoder, step by step.

Between two steps waiting requests take free places, stopped ones leave theirs. A prompt is fed in pieces beside the
tokens that others draw, so a long one stalls nobody. What a sequence draws never depends on who shares its batch.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from consensus.inference.decoding import MAX_ROWS, Decoder, Row
from consensus.model.tokens import EOS
from node.inference.errors import BusyError, ClosedError
from node.inference.generation import Generation, Reason, Waiter

PREFILL_ROWS = 32
"""Rows of prompts in a step in which others draw: what one more long prompt can add to a step's time."""


@dataclass(slots=True)
class Counters:
    """What the batcher has done since it started."""

    requests: int = 0
    refused: int = 0
    steps: int = 0
    prompt_tokens: int = 0
    tokens: int = 0
    ended: dict[Reason, int] = field(default_factory=lambda: dict.fromkeys(("eos", "length", "stopped", "failed"), 0))


@dataclass(slots=True)
class _Sequence:
    """A generation in its slot; `fed` tokens of prompt and answer are in the cache."""

    generation: Generation
    slot: int
    fed: int = 0

    def token(self, place: int) -> int:
        prompt = self.generation.prompt
        return prompt[place] if place < len(prompt) else self.generation.ids[place - len(prompt)]

    @property
    def known(self) -> int:
        return len(self.generation.prompt) + len(self.generation.ids)

    @property
    def draws(self) -> bool:
        """Whether its next row is its newest token."""
        return self.fed == self.known - 1

    @property
    def may_draw(self) -> bool:
        return len(self.generation.ids) < self.generation.allowed

    def rows(self, most: int) -> list[Row]:
        """The next rows to feed, at most `most`; the last known token only if a token may be drawn from it."""
        upto = min(self.fed + most, self.known if self.may_draw else self.known - 1)
        rows = [Row(self.slot, place, self.token(place)) for place in range(self.fed, upto)]
        if rows and upto == self.known:
            rows[-1].choice = self.generation.settings.choice(len(self.generation.ids))
        return rows


class Batcher:
    """Runs `decoder` in a thread of its own from construction to `close`. `queue` requests may wait for a place."""

    def __init__(self, decoder: Decoder, queue: int, stop_at_eos: bool = True) -> None:
        self.counters = Counters()
        self._decoder, self._queue, self._stop_at_eos = decoder, queue, stop_at_eos
        self._changed = threading.Condition()
        self._waiting: deque[Generation] = deque()
        self._running: list[_Sequence] = []
        self._free = list(range(min(decoder.slots, MAX_ROWS)))
        self._slots = len(self._free)
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="batcher", daemon=True)
        self._thread.start()

    @property
    def load(self) -> tuple[int, int]:
        """(busy, all) places of the batch."""
        return self._slots - len(self._free), self._slots

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._waiting)

    def add(self, generation: Generation) -> None:
        """Queue an answer.

        Raises:
            BusyError: the queue is full. ClosedError: the batcher is going down.
        """
        with self._changed:
            if self._closing:
                raise ClosedError("The server is going down.", "Ask another one, or this one later.")
            if len(self._waiting) >= self._queue + len(self._free):
                self.counters.refused += 1
                raise BusyError("The server's queue is full.", "Try again in a moment.")
            self.counters.requests += 1
            self._waiting.append(generation)
            self._changed.notify()

    def changed(self) -> None:
        """A generation was stopped or allowed more. Any thread."""
        with self._changed:
            self._changed.notify()

    def close(self, drain: bool = True) -> None:
        """Take nothing new; with `drain` end what was taken, else stop it. Returns when the thread has ended."""
        with self._changed:
            self._closing = True
            generations = [*self._waiting, *(sequence.generation for sequence in self._running)]
            self._changed.notify()
        for generation in () if drain else generations:
            generation.stop()
        self._thread.join()

    def _run(self) -> None:
        try:
            while (rows := self._next_rows()) is not None:
                drawn = self._decoder.step([row for part in rows for row in part[1]])
                self._deliver(rows, drawn)
        finally:  # reached with answers under way only if the decoder failed, which the thread's hook reports
            with self._changed:
                self._closing = True
                left = [sequence.generation for sequence in self._running] + list(self._waiting)
                self._waiting.clear()
            self._end(left, "failed")

    def _next_rows(self) -> list[tuple[_Sequence, list[Row]]] | None:
        """Waits for something to do; None when there will be nothing more."""
        while True:
            with self._changed:
                gone = self._drop_stopped()
                self._admit()
                stopped = [sequence for sequence in self._running if sequence.generation.stopped]
                rows = [] if stopped or gone else self._plan()
                if not rows and not stopped and not gone:
                    if self._closing and not self._running:
                        return None
                    self._changed.wait()
                    continue
            if rows:
                return rows
            self._end(gone, "stopped")
            self._leave(stopped, "stopped")

    def _drop_stopped(self) -> list[Generation]:
        """Take out of the queue what was stopped before it had a place."""
        gone = [generation for generation in self._waiting if generation.stopped]
        for generation in gone:
            self._waiting.remove(generation)
        return gone

    def _admit(self) -> None:
        while self._waiting and self._free:
            self._running.append(_Sequence(self._waiting.popleft(), self._free.pop()))

    def _plan(self) -> list[tuple[_Sequence, list[Row]]]:
        """The next step: a row for each sequence that draws, the rest shared by those whose prompt is not fed yet."""
        drawing = [(sequence, rows) for sequence in self._running if sequence.draws and (rows := sequence.rows(1))]
        feeding = [sequence for sequence in self._running if not sequence.draws]
        budget = MAX_ROWS - len(drawing)
        if drawing:
            budget = min(budget, PREFILL_ROWS)
        share = max(1, budget // max(1, len(feeding)))
        for sequence in feeding:
            rows = sequence.rows(min(share, budget))
            if rows:
                drawing.append((sequence, rows))
                budget -= len(rows)
        return drawing

    def _deliver(self, fed: list[tuple[_Sequence, list[Row]]], drawn: list[int]) -> None:
        counters, waiters, tokens = self.counters, [], iter(drawn)
        over: dict[Reason, list[_Sequence]] = {"eos": [], "length": []}
        counters.steps += 1
        for sequence, rows in fed:
            generation = sequence.generation
            counters.prompt_tokens += max(0, min(len(generation.prompt), sequence.fed + len(rows)) - sequence.fed)
            sequence.fed += len(rows)
            if rows[-1].choice is None:
                continue
            token = next(tokens)
            if token == EOS and self._stop_at_eos:
                over["eos"].append(sequence)
                continue
            counters.tokens += 1
            waiters.append(generation.put(token))
            if len(generation.ids) == generation.max_tokens:
                over["length"].append(sequence)
        for reason, sequences in over.items():
            if sequences:
                self._leave(sequences, reason)
        _wake(waiters)

    def _leave(self, sequences: list[_Sequence], reason: Reason) -> None:
        with self._changed:
            for sequence in sequences:
                self._running.remove(sequence)
                self._free.append(sequence.slot)
        self._end([sequence.generation for sequence in sequences], reason)

    def _end(self, generations: Iterable[Generation], reason: Reason) -> None:
        waiters = []
        for generation in generations:
            self.counters.ended[reason] += 1
            waiters.append(generation.end(reason))
        _wake(waiters)


def _wake(waiters: Iterable[Waiter | None]) -> None:
    """Resolve the futures of readers, with one call into each of their loops."""
    by_loop: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
    for waiter in waiters:
        if waiter is not None:
            by_loop.setdefault(waiter[0], []).append(waiter[1])
    for loop, futures in by_loop.items():
        with suppress(RuntimeError):  # a closed loop: nobody waits there any more
            loop.call_soon_threadsafe(_resolve, futures)


def _resolve(futures: list[asyncio.Future[None]]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)
