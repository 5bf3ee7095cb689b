"""The real gateway and the real command as processes: killed at every stage, cut off, restarted. Nothing is lost, and
nothing counts twice."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from people import make_volunteer, until
from real_gateway import RealGateway, free_port
from tcp_proxy import Proxy

from node.volunteer.home import VolunteerHome

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealGateway]:
    """A running gateway."""
    folder = tmp_path_factory.mktemp("gateway")
    (folder / "home").mkdir()
    gateway = RealGateway(folder / "home", folder / "text", free_port())
    try:
        gateway.start()
        yield gateway
    finally:
        gateway.stop(signal.SIGTERM)


@pytest.fixture
def proxy(real: RealGateway) -> Iterator[Proxy]:
    """Between volunteer and gateway."""
    with Proxy(real.port).running() as between:
        yield between


class Client:
    """`ponw volunteer` as a process."""

    def __init__(self, home: Path, url: str) -> None:
        self.home, self.url = home, url
        self.place = VolunteerHome.of(home, url)
        self.process: subprocess.Popen[str] | None = None

    def start(self, *flags: str) -> None:
        """Run it."""
        words = [sys.executable, "-m", "node.cli.app", "--home", str(self.home), "volunteer", self.url]
        base = ["--threads", "1", "--checkpoint-steps", "1", "--plain", "--samples", "128", *flags]
        self.process = subprocess.Popen([*words, *base], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def kill(self) -> None:
        """As a power cut would."""
        assert self.process is not None
        assert self.process.poll() is None, self.process.communicate()[0]
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.communicate()

    def end(self) -> str:
        """Wait for it; what it said."""
        assert self.process is not None
        said = self.process.communicate(timeout=120)[0]
        assert self.process.returncode == 0, said
        return said

    def saved_step(self) -> int:
        """Of the newest state on disk."""
        names = [path.name for path in (self.place.work / "checkpoints").glob("round-*.safetensors")]
        return max((int(name[-22:-12]) for name in names), default=0)


def mine(real: RealGateway, home: Path, url: str) -> list[dict[str, Any]]:
    """The gateway's rows of this volunteer's uploads."""
    import hashlib

    digest = hashlib.sha256(VolunteerHome.of(home, url).key().encode()).digest()
    try:
        workers = [row["id"] for row in real.rows("workers") if row["key_hash"] == digest]
        return [row for row in real.rows("gradient_updates") if row["worker_id"] in workers]
    except sqlite3.OperationalError:
        return []


def decided(real: RealGateway, home: Path, url: str, count: int) -> list[dict[str, Any]]:
    """Its uploads, once the gateway has trained them again."""
    until(lambda: all(row["state"] != "held" for row in mine(real, home, url)), "a decision")
    rows = mine(real, home, url)
    assert [row["state"] for row in rows] == ["accepted"] * count, rows
    assert len({row["batch_id"] for row in rows}) == count
    return rows


def during_download(client: Client, proxy: Proxy, _counted: Callable[[], int]) -> str:
    proxy.pause_after = 60_000
    client.start("--max-batches", "1")
    until(lambda: [path for path in client.place.models.glob(".*.part") if path.stat().st_size > 20_000], "a part")
    client.kill()
    proxy.pause_after, proxy.down = None, 0
    client.start("--max-batches", "1")
    said = client.end()
    [model] = client.place.models.iterdir()
    assert 0 < proxy.down < model.stat().st_size, "what had come is not fetched again"
    return said


def during_training(client: Client, proxy: Proxy, _counted: Callable[[], int]) -> str:
    client.start("--cpu-share", "0.05")
    until(lambda: client.saved_step() >= 5, "five steps")
    client.kill()
    step, proxy.down = client.saved_step(), 0
    client.start("--max-batches", "1")
    said = client.end()
    assert f"Going on at step {step} of" in said
    [model] = client.place.models.iterdir()
    assert proxy.down < model.stat().st_size
    return said


def before_upload(client: Client, proxy: Proxy, counted: Callable[[], int]) -> str:
    client.start("--cpu-share", "0.2")
    until(lambda: client.saved_step() >= 1, "a step")
    proxy.refuse = True
    proxy.cut()
    until((client.place.work / "upload.pvu").exists, "a finished upload")
    client.kill()
    assert counted() == 0
    proxy.refuse = False
    client.start("--max-batches", "1")
    said = client.end()
    assert "which was finished before" in said
    return said


def before_receipt(client: Client, proxy: Proxy, counted: Callable[[], int]) -> str:
    client.start("--cpu-share", "0.2")
    until(lambda: client.saved_step() >= 1, "a step")
    proxy.mute = True
    until(lambda: counted() == 1, "the upload at the gateway")
    assert (client.place.work / "upload.pvu").exists()
    client.kill()
    proxy.mute = False
    proxy.cut()
    client.start("--max-batches", "1")
    said = client.end()
    assert "which was finished before" in said
    return said


@pytest.mark.parametrize("stage", [during_download, during_training, before_upload, before_receipt])
def test_killed_at_every_stage(
    stage: Callable[[Client, Proxy, Callable[[], int]], str], real: RealGateway, proxy: Proxy, tmp_path: Path
) -> None:
    client = Client(tmp_path, proxy.url)
    said = stage(client, proxy, lambda: len(mine(real, tmp_path, proxy.url)))
    assert said.count("Uploaded") == 1
    decided(real, tmp_path, proxy.url, 1)
    assert not client.place.work.exists()


def test_ctrl_c_finishes_the_batch(real: RealGateway, tmp_path: Path) -> None:
    client = Client(tmp_path, real.url)
    client.start("--cpu-share", "0.3")
    until(lambda: client.saved_step() >= 1, "a step")
    assert client.process is not None
    client.process.send_signal(signal.SIGINT)
    said = client.end()
    assert said.count("Uploaded") == 1
    decided(real, tmp_path, real.url, 1)


def wishes_to_finish(client: Client) -> bool:
    file = client.place.state_file
    return file.exists() and '"wish":"finish"' in file.read_text()


def test_a_second_ctrl_c_stops_now(real: RealGateway, tmp_path: Path) -> None:
    client = Client(tmp_path, real.url)
    client.start("--cpu-share", "0.05")
    until(lambda: client.saved_step() >= 1, "a step")
    assert client.process is not None
    for _ in range(2):
        client.process.send_signal(signal.SIGINT)
        until(lambda: wishes_to_finish(client), "the first to be noted")
    assert "everything is saved" in client.end()
    assert mine(real, tmp_path, real.url) == []
    client.start("--max-batches", "1")
    assert "Going on at step" in client.end()
    decided(real, tmp_path, real.url, 1)


def test_a_network_that_breaks_all_the_time(real: RealGateway, proxy: Proxy, tmp_path: Path) -> None:
    one, over = make_volunteer(tmp_path, proxy.url, max_batches=3, max_samples=128), threading.Event()

    def saw() -> None:
        while not over.wait(0.15):
            proxy.cut()

    thread = threading.Thread(target=saw, daemon=True)
    with one.running() as session:
        until(lambda: one.board.now().worker_id, "an account")
        thread.start()
        until(lambda: one.board.now().session.batches >= 1, "one batch")
        over.set()
        session.join(120)
    thread.join(10)
    assert one.board.whole().session.batches == 3
    decided(real, tmp_path, proxy.url, 3)


def test_a_gateway_killed_and_started_again(real: RealGateway, tmp_path: Path) -> None:
    one = make_volunteer(tmp_path, real.url, max_batches=1, max_samples=128, cpu_share=0.2)
    with one.running() as session:
        until(lambda: one.step() > 2, "some steps")
        real.stop(signal.SIGKILL)
        until(lambda: one.board.now().phase == "uploading" or one.step() > 8, "steps without a gateway")
        real.start()
        session.join(120)
        assert not session.is_alive()
    decided(real, tmp_path, real.url, 1)


def test_figures_on_the_command_line(real: RealGateway, tmp_path: Path) -> None:
    import json

    client = Client(tmp_path, real.url)
    client.start("--max-batches", "1", "--username", "ada lovelace")
    client.end()
    words = [sys.executable, "-m", "node.cli.app", "--home", str(tmp_path), "volunteer"]

    def ask(verb: str) -> Any:
        done = subprocess.run([*words, verb, "--format", "json"], capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    stats, board, status = ask("stats"), ask("leaderboard"), ask("status")
    assert stats["worker"]["username"] == "ada lovelace"
    assert len(stats["worker"]["recent"]) == 1
    assert "ada lovelace" in [row["username"] for row in board]
    assert status["running"] is False
    assert status["state"]["session"]["batches"] == 1
