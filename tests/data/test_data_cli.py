"""`ponw data` as a user meets it."""

import json

import pytest
from typer.testing import CliRunner

from node.cli.context import CliState
from node.cli.data import app
from node.data.errors import ManifestError, NotTextError, ShardError
from node.data.manifest import load_manifest, shard_path


@pytest.fixture
def ponw(tmp_path, monkeypatch):
    monkeypatch.delenv("PONW_DATA_DIR", raising=False)

    def call(*arguments):
        result = CliRunner().invoke(app, [*map(str, arguments)], obj=CliState(home=tmp_path / "home"))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.stdout

    return call


@pytest.fixture
def book(tmp_path):
    path = tmp_path / "book.txt"
    path.write_text("One line of a book.\n" * 500)
    return path


def test_add_list_verify(ponw, book, tmp_path):
    assert "added" in ponw("add", book)
    assert "there already" in ponw("add", book)
    listed = json.loads(ponw("list", "--format", "json"))
    assert {shard["split"] for shard in listed["shards"]} == {"train", "heldout"}
    assert all(shard["source"] == "book.txt" for shard in listed["shards"])
    assert "book.txt" in ponw("list")
    assert json.loads(ponw("verify", "--format", "json")) == {
        "ok": True,
        "dataset_root": listed["dataset_root"],
        "problems": [],
    }
    assert "intact" in ponw("verify")
    shard = load_manifest(tmp_path / "home" / "data").shards[0]
    shard_path(tmp_path / "home" / "data", shard.name).unlink()
    with pytest.raises(ShardError, match=shard.name):
        ponw("verify")


def test_a_bad_file_among_good_ones_adds_nothing(ponw, book, tmp_path):
    binary = tmp_path / "program.bin"
    binary.write_bytes(bytes(range(256)))
    with pytest.raises(NotTextError, match="binary"):
        ponw("add", book, binary)
    with pytest.raises(ManifestError, match="no dataset"):
        ponw("list")


def test_a_folder_reports_what_it_skipped(ponw, book, tmp_path):
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "good.txt").write_text("good " * 100)
    (folder / "bad.bin").write_bytes(b"\x00")
    added = json.loads(ponw("add", folder, "--format", "json"))
    assert [item["outcome"] for item in added["files"]] == ["added"]
    assert [item["path"] for item in added["skipped"]] == [str(folder / "bad.bin")]


def test_help_has_examples():
    for command in ("add", "list", "verify"):
        assert "Examples: ponw data" in CliRunner().invoke(app, [command, "--help"]).stdout
