"""Killed or out of space in the middle of an add: the dataset is the old one, and the next add cleans up."""

import resource
import signal
import subprocess
import sys

import pytest

from node.data.dataset import Dataset
from node.data.manifest import load_manifest
from node.data.text import inspect
from node.data.writer import add_texts

CHILD = """
import sys
from pathlib import Path
from node.data.text import inspect
from node.data.writer import add_texts

def report(done):
    print(done, flush=True)
    sys.stdin.readline()

add_texts(Path(sys.argv[1]), [inspect(Path(sys.argv[2]))], report)
print("committed", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def base(tmp_path):
    small, large = tmp_path / "small.txt", tmp_path / "large.txt"
    small.write_text("a small text\n" * 100)
    large.write_text("a large text, several pieces\n" * 150_000)
    add_texts(tmp_path / "data", [inspect(small)])
    return tmp_path


def test_kill_at_every_piece_of_an_add(base):
    folder, large = base / "data", base / "large.txt"
    before = load_manifest(folder)
    committed = False
    for pieces in range(1, 20):
        with subprocess.Popen(
            [sys.executable, "-c", CHILD, folder, large], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as child:
            for _ in range(pieces):
                line = child.stdout.readline()
                committed = line == "committed\n"
                if committed:
                    break
                assert line
                if _ < pieces - 1:
                    child.stdin.write("\n")
                    child.stdin.flush()
            child.send_signal(signal.SIGKILL)
        if committed:
            break
        assert load_manifest(folder) == before
        assert Dataset.open(folder, full=True).root == before.root
    assert committed
    assert pieces > 4
    after = Dataset.open(folder, full=True)
    assert after.root != before.root
    assert {path.name for path in (folder / "shards").iterdir()} == {shard.name for shard in after.manifest.shards}


def test_disk_full_is_one_sentence_and_changes_nothing(base):
    folder = base / "data"
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    code = (
        "import sys; from pathlib import Path; from node.errors import DiskError\n"
        "from node.data.text import inspect; from node.data.writer import add_texts\n"
        "try: add_texts(Path(sys.argv[1]), [inspect(Path(sys.argv[2]))])\n"
        "except DiskError as error: print(error.message); sys.exit(error.exit_code)"
    )
    limit = 3 << 20
    done = subprocess.run(
        [sys.executable, "-c", code, folder, base / "large.txt"],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert done.returncode == 14, done.stderr
    assert "Cannot write" in done.stdout
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
