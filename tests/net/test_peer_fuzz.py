"""A short run of `make fuzz-net`: generated junk everywhere, while an honest peer is served."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench.fuzz.campaign import Campaign
from bench.fuzz.local import attack, frames, links
from bench.fuzz.messages import U32, VARINT, Junk
from bench.fuzz.targets import TARGETS, Target
from bench.fuzz.world import World, world
from node.net.limits import SCORE_BAN
from node.net.wire.pipeline_pb2 import PipelineFrame

MESSAGES = 25
GROWTH_BYTES = 64 << 20


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("z")) as made:
        yield made


@pytest.mark.process
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_junk_is_borne_and_its_sender_banned(place: World, target: Target) -> None:
    before = place.memory()
    place.friend.use()
    with place.friend.busy():
        outcome = Campaign(target, place.address, place.control, MESSAGES, 7).run()
    place.friend.use()
    assert place.up()
    assert place.friend.failures == []
    assert outcome.sent >= MESSAGES
    if target.bans:
        assert outcome.scores[-1] == -SCORE_BAN
        assert len(set(outcome.scores)) > 3  # it fell step by step
    for name, size in place.memory().items():
        assert size - before[name] < GROWTH_BYTES


def test_junk_of_a_neighbour_is_told_from_silence() -> None:
    found = attack("pipeline link", links(), list(frames()[1:]), frames()[0], 100)
    assert 0 < found["blamed"] < 100


def test_a_neighbour_without_a_start_is_refused() -> None:
    hello = PipelineFrame()
    hello.CopyFrom(frames()[0])
    hello.hello.steps[:] = [3]
    assert attack("pipeline handshake", links(), [hello], hello, 1)["blamed"] == 1


def test_the_same_seed_gives_the_same_junk() -> None:
    def made(seed: int) -> list[tuple[str, bytes]]:
        junk = Junk(seed)
        return [junk.message(valid, U32, (frames()[0],)) for valid in frames() * 20]

    assert made(1) == made(1) != made(2)
    assert {name for name, _ in made(1)} >= {
        "random",
        "truncated",
        "flipped",
        "huge_length",
        "absurd",
        "wrong_versions",
    }


@pytest.mark.parametrize("size", [0, 1, 127, 128, 300, 2**32 - 1, 2**63 - 1])
def test_lengths(size: int) -> None:
    head = VARINT.head(size)
    assert sum((byte & 127) << 7 * place for place, byte in enumerate(head)) == size
    assert [byte > 127 for byte in head] == [True] * (len(head) - 1) + [False]
