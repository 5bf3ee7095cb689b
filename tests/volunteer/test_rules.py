"""What needs no gateway: keys, settings, limits, control, proof of work, and what is drawn."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from node.errors import ConfigError, WalletError
from node.gateway.schemas import Hardware
from node.volunteer import settings
from node.volunteer.board import Board, read_state
from node.volunteer.control import Control
from node.volunteer.display import Lines, draw
from node.volunteer.enrolment import solve
from node.volunteer.errors import BusyHomeError, GatewayUrlError, StoppedError, WishChangedError
from node.volunteer.home import VolunteerHome, normal_url, which_gateway
from node.volunteer.limits import Gate, within
from node.volunteer.limits_desk import LimitsDesk
from node.volunteer.panel import address
from node.volunteer.panel_schemas import BatchProgress, Limits, Transfer


def test_a_key_is_made_once_for_each_gateway(tmp_path: Path) -> None:
    one, other = VolunteerHome.of(tmp_path, "https://a.example"), VolunteerHome.of(tmp_path, "https://b.example")
    assert one.key() == one.key() != other.key()
    file = one.root / "api-key"
    assert file.stat().st_mode & 0o777 == 0o600
    file.write_text("something else")
    with pytest.raises(WalletError, match="not a volunteer's key"):
        one.key()


@pytest.mark.parametrize("bad", ["", "ftp://a", "https://", "http://u:p@a", "http://a?b=1", "http://a#b", "http://a:x"])
def test_what_is_no_address_is_refused(bad: str) -> None:
    with pytest.raises(GatewayUrlError):
        normal_url(bad)


def test_the_last_gateway_is_remembered(tmp_path: Path) -> None:
    with pytest.raises(GatewayUrlError, match="Nobody has volunteered"):
        which_gateway(tmp_path)
    VolunteerHome.of(tmp_path, normal_url("https://a.example/")).remember()
    assert which_gateway(tmp_path) == "https://a.example"


def test_a_folder_is_for_one_process(tmp_path: Path) -> None:
    home = VolunteerHome.of(tmp_path, "https://a.example")
    assert not home.busy()
    with home.locked():
        assert home.busy()
        with pytest.raises(BusyHomeError), home.locked():
            pass
    assert not home.busy()


def test_settings_come_from_the_file_under_flags(tmp_path: Path) -> None:
    (tmp_path / settings.NAME).write_text('cpu_share = 0.5\nhours = "22:00-06:00"\nusername = "ada"\n')
    found = settings.load(tmp_path, cpu_share=0.25, cpu_threads=None)
    assert (found.cpu_share, found.hours, found.username) == (0.25, "22:00-06:00", "ada")
    settings.save(tmp_path, found.limited(Limits(max_batches=3)))
    again = settings.load(tmp_path)
    assert (again.max_batches, again.hours, again.username) == (3, None, "ada")


@pytest.mark.parametrize("line", ["cpu_share = 2.0", "sped = 1", 'hours = "25:00-26:00"', "cpu_threads = [", 'x = "'])
def test_a_bad_setting_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / settings.NAME).write_text(line)
    with pytest.raises(ConfigError, match=settings.NAME):
        settings.load(tmp_path)


def test_the_panel_changes_limits_but_keeps_no_flags(tmp_path: Path) -> None:
    board = Board("https://a.example")
    desk = LimitsDesk(tmp_path, settings.load(tmp_path, username="flag"), board)
    desk.change(Limits(cpu_share=0.5))
    assert desk.limits().cpu_share == 0.5
    assert settings.load(tmp_path).cpu_share == 0.5
    assert settings.load(tmp_path).username is None


@given(begin=st.integers(0, 1439), length=st.integers(1, 1439), at=st.integers(0, 1439))
def test_hours_hold_around_midnight(begin: int, length: int, at: int) -> None:
    end = (begin + length) % 1440
    hours = f"{begin // 60:02}:{begin % 60:02}-{end // 60:02}:{end % 60:02}"
    assert within(hours, at) == ((at - begin) % 1440 < length)
    assert within(None, at)


def test_the_gate_closes_by_the_hour_and_on_battery() -> None:
    limits, now, minute, unplugged = Limits(hours="08:00-09:00"), [0.0], [500], [False]
    gate = Gate(lambda: limits, lambda: minute[0], lambda: unplugged[0], lambda: now[0])
    assert gate.closed() == ""
    unplugged[0] = True
    assert gate.closed() == "", "the battery is looked at now and then"
    now[0] = 100.0
    assert gate.closed() == "on battery"
    minute[0] = 600
    assert gate.closed() == "outside 08:00-09:00"
    limits = Limits(pause_on_battery=False)
    assert gate.closed() == ""


@given(share=st.floats(0.05, 1), seconds=st.floats(0, 10))
def test_rests_leave_steps_their_share(share: float, seconds: float) -> None:
    rest = Gate(lambda: Limits(cpu_share=share)).rest(seconds)
    assert seconds == pytest.approx(share * (seconds + rest), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("bits", [0, 1, 12])
def test_proof_of_work(bits: int) -> None:
    nonce = solve(b"c" * 32, b"k" * 32, bits, Control())
    digest = hashlib.sha256(b"c" * 32 + b"k" * 32 + nonce.to_bytes(8, "big")).digest()
    assert int.from_bytes(digest, "big") >> (256 - bits) == 0
    stopped = Control()
    stopped.halt()
    with pytest.raises(StoppedError):
        solve(b"c" * 32, b"k" * 32, 30, stopped)


def test_a_wish_wakes_who_waits_without_a_batch() -> None:
    control, woken = Control(), threading.Event()

    def wait() -> None:
        with pytest.raises(WishChangedError):
            control.sleep(600)
        woken.set()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    while not woken.wait(0.02):
        control.set("pause" if control.wish == "start" else "start")
    thread.join(10)
    control.set("finish")
    control.set("start")
    assert control.wish == "finish", "finishing is final"
    control.halt()
    with pytest.raises(StoppedError):
        control.sleep(600)


@pytest.mark.parametrize("bad", ["0.0.0.0:1", "10.0.0.1:80", "example.org:80", "127.0.0.1", "127.0.0.1:70000", "x:y:z"])
def test_the_panel_is_for_this_machine_only(bad: str) -> None:
    with pytest.raises(ConfigError, match="panel"):
        address(bad)
    assert address("127.0.0.1:0") == ("127.0.0.1", 0)
    assert address("[::1]:80") == ("::1", 80)


def test_what_is_drawn_and_written(tmp_path: Path) -> None:
    board, home = Board("https://a.example", clock=lambda: 1000.0), VolunteerHome.of(tmp_path, "https://a.example")
    batch = BatchProgress(
        batch_id="b", model_version="v1", samples=8, step=15, steps=100, tokens=15234, loss=2.456, tokens_per_s=1245
    )
    moved = Transfer(name="update", direction="up", done=1_000_000, size=2_000_000)
    board.update(phase="training", batch=batch, transfer=moved, hardware=Hardware(cpu="some cpu"))
    board.log("Uploaded gradients (2.3 MB)", "good")
    board.log("Uploaded gradients (2.3 MB)", "good")
    console = Console(width=100, record=True, file=(tmp_path / "out").open("w"))
    console.print(draw(board.whole()))
    text = console.export_text()
    for part in ("TRAINING", "15/100 (15%)", "15,234", "2.4560", "1,245 tokens/s", "1.0 of 2.0 MB", "some cpu"):
        assert part in text
    assert text.count("Uploaded gradients") == 1
    said: list[str] = []
    seen, new = board.lines_after(0)
    Lines(said.append).show(new, board.now())
    assert [line.split("] ")[1] for line in said] == [
        "Uploaded gradients (2.3 MB)",
        "step 15/100 loss 2.4560 1,245 tokens/s",
    ]
    assert board.lines_after(seen) == (1, [])
    board.write(home)
    state = read_state(home)
    assert state is not None
    assert state.batch == batch
