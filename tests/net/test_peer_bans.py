"""What is on record of keys and of addresses outlives the process, by the calendar, and no file can break it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio

from node.net.bans import BANS_NAME, ORIGINS_NAME, SCORES_PAUSE, Bans
from node.net.limits import BAN_SECONDS_MAX, LEDGER_MAX, ORIGIN_BAN, ORIGIN_BAN_SECONDS, ORIGIN_BAN_SECONDS_MAX
from node.net.origins import Origins
from node.net.score import ROW_BYTES, Ledger, Offence

A, NOW = "192.0.2.7", 1_800_000_000


@dataclass
class Process:
    """The tables of one process: Unix time, and a monotonic clock of its own that began anywhere."""

    folder: Path
    wall: float
    clock: float

    def __post_init__(self) -> None:
        self.keys, self.origins = Ledger(), Origins()
        self.origins.note("key", A)
        self.bans = Bans(self.folder, self.keys, self.origins.ledger, lambda: self.wall, lambda: self.clock)
        self.bans.load()

    def later(self, seconds: float) -> None:
        self.wall += seconds
        self.clock += seconds

    def offend(self) -> None:
        self.origins.charge("key", ORIGIN_BAN, "the last straw", self.clock)

    def banned(self) -> str | None:
        return self.origins.banned(A, self.clock)

    def end(self) -> None:
        """As a process ends that is asked to."""

        async def cancelled() -> None:
            with trio.CancelScope() as scope:
                scope.cancel()
                await self.bans.keep()

        trio.run(cancelled)


def test_a_ban_of_an_address_ends_by_the_calendar_whatever_the_process_counts(tmp_path: Path) -> None:
    first = Process(tmp_path, NOW, 5_000.75)
    first.offend()
    first.later(100)
    first.end()
    second = Process(tmp_path, NOW + 400.5, 90_000.25)
    assert second.banned() == "the last straw"
    second.later(ORIGIN_BAN_SECONDS - 402)
    assert second.banned()
    second.later(3)
    assert second.banned() is None
    second.offend()
    second.later(2 * ORIGIN_BAN_SECONDS - 2)
    assert second.banned(), "the next ban is twice as long, as if the process had never ended"
    third = Process(tmp_path, NOW + ORIGIN_BAN_SECONDS, 7.0)
    assert third.banned() is None, "over while nobody ran"


def test_points_without_a_ban_are_kept_and_decay_meanwhile(tmp_path: Path) -> None:
    first = Process(tmp_path, NOW, 5_000)
    for _ in range(3):
        first.keys.charge("key", Offence.OVERSIZED, "too long", NOW)
    first.origins.charge("key", ORIGIN_BAN - 1, "much", first.clock)
    first.end()
    assert Process(tmp_path, NOW, 0).keys.score("key", NOW) == -60
    assert Process(tmp_path, NOW + 600, 0).keys.score("key", NOW + 600) == -30
    second = Process(tmp_path, NOW, 0)
    assert second.origins.charge("key", 1, "one more", second.clock) == A


def test_a_ban_does_not_wait_for_the_end_to_be_written(tmp_path: Path) -> None:
    process = Process(tmp_path, NOW, 50)
    saved = tmp_path / ORIGINS_NAME

    async def run() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(process.bans.keep)
            process.offend()
            with trio.fail_after(SCORES_PAUSE / 2):
                while not saved.exists():
                    await trio.sleep(0.01)
            assert A in json.loads(saved.read_text())
            nursery.cancel_scope.cancel()

    trio.run(run)
    assert not (tmp_path / BANS_NAME).exists(), "nothing has changed there"


@pytest.mark.parametrize(
    "junk",
    [b"", b"{", b"[1]", b"3", b"\xff\xfe", b"[" * 100_000, b'{"192.0.2.7": ' + b"9" * 9_000 + b"}", b"null"],
    ids=range(8),
)
def test_a_damaged_file_is_told_and_begun_anew(tmp_path: Path, junk: bytes, caplog: pytest.LogCaptureFixture) -> None:
    for name in (BANS_NAME, ORIGINS_NAME):
        (tmp_path / name).write_bytes(junk)
    process = Process(tmp_path, NOW, 50)
    assert [record.message.count("begun anew") for record in caplog.records] == [1, 1]
    process.offend()
    process.end()
    assert Process(tmp_path, NOW, 50).banned()


def test_rows_are_held_to_bounds(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    far = NOW + 10**12
    rows = {
        A: [far, -5, "x" * 999, 10**30, far],
        "doubled": [NOW + 5, 10**6, "y", -7, NOW],
        "earlier": [NOW + 5, 1, "by an earlier release"],
        "n" * 200: [NOW + 5, 1, "z", 0, NOW],
        "odd": "row",
        "short": [1, 2],
        "text": ["1", 1, "x", 0, 0],
    }
    for name in (BANS_NAME, ORIGINS_NAME):
        (tmp_path / name).write_text(json.dumps(rows))
    process = Process(tmp_path, NOW, 50)
    assert all("4 rows are unusable" in record.message for record in caplog.records)
    assert set(process.keys.bans(NOW)) == {A, "doubled", "earlier"}
    assert process.keys.banned(A, NOW) == "x" * 200
    process.later(ORIGIN_BAN_SECONDS_MAX - 1)
    assert process.banned()
    process.later(1)
    assert process.banned() is None
    process.later(BAN_SECONDS_MAX - ORIGIN_BAN_SECONDS_MAX)
    assert process.keys.bans(int(process.wall)) == {}
    for name in (A, "doubled", "earlier"):
        process.keys.add(name, 1_000, "again", int(process.wall))
        assert process.keys.banned(name, int(process.wall))


def test_the_longest_table_is_read_again(tmp_path: Path) -> None:
    process = Process(tmp_path, NOW, 50)
    for number in range(LEDGER_MAX + 9):
        process.keys.ban(f"{number:0128}", ("\x01", "\U0001f4a3", "\ud800")[number % 3] * 500, BAN_SECONDS_MAX, NOW)
    process.end()
    assert (tmp_path / BANS_NAME).stat().st_size <= LEDGER_MAX * ROW_BYTES
    assert len(Process(tmp_path, NOW, 0).keys.bans(NOW)) == LEDGER_MAX
