"""`pip install .` alone is enough to run a node: no Node.js, and no repository around it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.install

ROOT = Path(__file__).resolve().parents[2]
INSTALL_SECONDS = 900
ROUND_SECONDS = 300


def sources(target: Path) -> Path:
    """What a clone would hold, elsewhere: building must not find anything that was built here."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0"):
        if name and (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    return target


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of commands of a fresh environment that holds the package and what it needs, nothing more."""
    folder = tmp_path_factory.mktemp("install")
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    commands = folder / "venv" / "bin"
    clone = sources(folder / "clone")
    arguments = ["-m", "pip", "install", "--quiet", "--constraint", str(clone / "requirements.lock"), str(clone)]
    subprocess.run([str(commands / "python"), *arguments], check=True, timeout=INSTALL_SECONDS)
    shutil.rmtree(clone)
    return commands


def ponw(installed: Path, home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The installed command from an empty folder; Node.js is not on its path."""
    home.parent.mkdir(exist_ok=True)
    return subprocess.run(
        [str(installed / "ponw"), "--home", str(home), *words],
        cwd=home.parent,
        env={"PATH": str(installed), "HOME": str(home.parent), "LANG": os.environ.get("LANG", "C.UTF-8")},
        capture_output=True,
        text=True,
        timeout=ROUND_SECONDS,
        check=False,
    )


def test_every_kernel_that_was_built_here_is_built_there(installed: Path, tmp_path: Path) -> None:
    listed = ponw(installed, tmp_path / "home", "kernels", "--format", "json")
    assert listed.returncode == 0, listed.stderr
    here = subprocess.run(
        [sys.executable, "-m", "node.cli.app", "kernels", "--format", "json"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    passed = [{row["kernel"] for row in json.loads(one.stdout) if row["passed"]} for one in (listed, here)]
    assert passed[0] == passed[1]


def test_a_whole_round_is_paid(installed: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert (made := ponw(installed, home, "init")).returncode == 0, made.stderr
    ran = ponw(installed, home, "--rpc-url", "embedded", "run", "--rounds", "1")
    assert ran.returncode == 0, ran.stderr
    assert "claim 1: paid" in ran.stdout
