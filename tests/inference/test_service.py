"""The service: whatever happens beside it, an answer is the one that anyone recomputes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence

import pytest

from consensus.errors import KernelError
from consensus.inference.answer import recompute
from consensus.inference.decoding import MAX_ROWS, Decoder, Row
from consensus.inference.sampling import Settings
from node.inference.errors import BusyError, ClosedError, ContextLengthError, PromptError
from node.inference.generation import Generation
from node.inference.model import model_of
from node.inference.paid.seam import Answerer, Draw
from node.inference.service import InferenceService
from tests.inference.conftest import CONFIGS, make, weights_of

CONFIG = CONFIGS[2]
Make = Callable[..., InferenceService]


class Gate:
    """A decoder that waits before each step until it is let through, and keeps what it was fed."""

    def __init__(self, decoder: Decoder) -> None:
        self.name, self.config, self.slots = decoder.name, decoder.config, decoder.slots
        self._decoder, self._passes, self.fed = decoder, threading.Semaphore(0), []
        self.fails = False

    def let(self, steps: int) -> None:
        self._passes.release(steps)

    def step(self, rows: Sequence[Row]) -> list[int]:
        self._passes.acquire()
        if self.fails:
            raise KernelError("the decoder broke")
        self.fed.append(list(rows))
        return self._decoder.step(rows)


@pytest.fixture
def services() -> Iterator[Make]:
    made: list[InferenceService] = []

    def make_one(decoder: Decoder | None = None, slots: int = 4, queue: int = 100) -> InferenceService:
        decoder = decoder or make("definition", CONFIG, slots)
        made.append(InferenceService(model_of(CONFIG, weights_of(CONFIG), "a test"), decoder, queue))
        return made[-1]

    yield make_one
    for service in made:
        service.close(drain=False)


def drawn(number: int, temperature: int = 1000) -> Settings:
    return Settings(temperature, 9_500, bytes([number]) * 32)


def prompt_of(number: int) -> list[int]:
    return [(number * 13 + i) % 256 for i in range(1 + number * 7 % 60)]


def expected(number: int, count: int) -> list[int]:
    return recompute(make("definition", CONFIG, 1), prompt_of(number), drawn(number), count)


async def ids_of(generation: Generation) -> list[int]:
    return [piece.id async for piece in generation]


def test_it_is_what_paid_answers_are_built_on(services: Make) -> None:
    service: Answerer = services()
    served = service.served()
    assert (served.context, served.layers, served.vocabulary) == (128, 1, 0)
    assert service.load() == (0, 4)


@pytest.mark.parametrize("slots", [1, 3, 16])
def test_answers_in_any_batch_are_their_recomputations(services: Make, slots: int) -> None:
    service = services(slots=slots)

    async def all_of_them() -> list[list[int]]:
        asked = [service.submit(prompt_of(n), drawn(n), 5 + n) for n in range(12)]
        return await asyncio.gather(*(ids_of(generation) for generation in asked))

    assert asyncio.run(all_of_them()) == [expected(n, 5 + n) for n in range(12)]
    assert service.load() == (0, slots)


def test_no_token_is_made_before_it_is_allowed(services: Make) -> None:
    service = services()

    async def paid() -> tuple[list[int], str]:
        settings = drawn(3)
        draw = Draw(settings.temperature_milli, settings.top_p_bps, settings.draw_seed)
        generation = service.answer(prompt_of(3), draw, 9)
        other = service.submit(prompt_of(4), drawn(4), 20)
        await ids_of(other)
        assert generation.ids == []
        got = []
        for allowed in (1, 1, 4, 2, 9, 50):
            generation.allow(allowed)
            while len(got) < min(max(allowed, len(got)), 9):
                got.append((await anext(generation)).id)
            assert len(generation.ids) == len(got)
        assert [piece async for piece in generation] == []
        return got, generation.reason

    assert asyncio.run(paid()) == (expected(3, 9), "length")


def test_a_stopped_answer_leaves_its_place_at_once(services: Make) -> None:
    service = services(slots=1)

    async def stopping() -> None:
        first = service.submit(prompt_of(1), drawn(1), 60)
        queued = service.submit(prompt_of(2), drawn(2), 60)
        last = service.submit(prompt_of(5), drawn(5), 6)
        assert (await anext(first)).id == expected(1, 1)[0]
        queued.stop()
        first.stop()
        assert await ids_of(last) == expected(5, 6)
        rest = await ids_of(first)
        assert [expected(1, 1)[0], *rest] == expected(1, len(rest) + 1)
        assert (first.reason, queued.reason, last.reason) == ("stopped", "stopped", "length")
        assert await ids_of(queued) == []

    asyncio.run(stopping())
    assert service.batcher.counters.ended == {"eos": 0, "length": 1, "stopped": 2, "failed": 0}


def test_a_long_prompt_stalls_nobody(services: Make) -> None:
    gate = Gate(make("definition", CONFIG, 4))
    service = services(gate)
    short = service.submit([7], drawn(1), 40)
    gate.let(2)
    long = service.submit([9] * 100, drawn(2), 5)
    gate.let(10_000)
    long.done.wait()
    short.done.wait()
    both = [rows for rows in gate.fed if {row.slot for row in rows} == {0, 1} or len({r.slot for r in rows}) > 1]
    assert both, "they never shared a step"
    assert all(sum(row.choice is not None for row in rows) >= 1 for rows in both)
    assert max(len(rows) for rows in both) <= 33
    assert max(len(rows) for rows in gate.fed) <= MAX_ROWS


def test_a_full_queue_refuses_and_loses_nothing(services: Make) -> None:
    gate = Gate(make("definition", CONFIG, 2))
    service = services(gate, queue=3)
    taken = [service.submit(prompt_of(n), drawn(n), 4) for n in range(2)]
    gate.let(1)  # both have their places before the rest comes
    while service.load() != (2, 2):
        threading.Event().wait(0.001)
    taken += [service.submit(prompt_of(n), drawn(n), 4) for n in range(2, 5)]
    for _ in range(10):
        with pytest.raises(BusyError):
            service.submit(prompt_of(9), drawn(9), 4)
    gate.let(10_000)
    for n, generation in enumerate(taken):
        generation.done.wait()
        assert generation.ids == expected(n, 4)
    assert service.batcher.counters.refused == 10


def test_draining_ends_what_was_taken_and_takes_nothing_new(services: Make) -> None:
    service = services(slots=1)
    taken = [service.submit(prompt_of(n), drawn(n), 5) for n in range(4)]
    service.close(drain=True)
    assert [generation.ids for generation in taken] == [expected(n, 5) for n in range(4)]
    with pytest.raises(ClosedError):
        service.submit([1], drawn(1), 1)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_broken_decoder_fails_every_answer_and_stops_taking_more(services: Make) -> None:
    gate = Gate(make("definition", CONFIG, 1))
    service = services(gate)
    asked = [service.submit([1], drawn(n), 5) for n in range(3)]
    gate.fails = True
    gate.let(1)
    for generation in asked:
        generation.done.wait()
        assert generation.reason == "failed"
    with pytest.raises(ClosedError):
        service.submit([1], drawn(1), 1)


def test_what_does_not_fit_is_refused(services: Make) -> None:
    service = services()
    with pytest.raises(ContextLengthError, match="maximum context length is 128 tokens"):
        service.submit([1] * 100, drawn(1), 29)
    for prompt in ([], [-1], [CONFIG.vocab]):
        with pytest.raises(PromptError):
            service.submit(prompt, drawn(1), 5)


def test_a_character_is_given_when_it_is_whole(services: Make) -> None:
    from node.inference.text import ByteTokenizer, TextStream

    stream = TextStream(ByteTokenizer())
    data = "é€😀a".encode()
    assert [stream.feed(byte) for byte in data] == ["", "é", "", "", "€", "", "", "", "😀", "a"]
    assert stream.feed(0xF0) + stream.feed(256) + stream.end() == "\ufffd"
