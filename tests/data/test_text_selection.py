"""What counts as text, and where its held-out end begins."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.data.errors import NotTextError
from node.data.text import inspect, select
from node.errors import DataError


def test_border_falls_on_a_character_boundary(tmp_path):
    path = tmp_path / "umlauts.txt"
    path.write_text("äöü" * 333)
    text = inspect(path)
    data = path.read_bytes()
    assert text.border >= len(data) * 95 // 100
    data[: text.border].decode()
    data[text.border :].decode()


@given(content=st.text(min_size=1, max_size=200).filter(lambda text: "\x00" not in text))
def test_any_text_splits_into_text(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("any") / "t.txt"
    path.write_bytes(content.encode())
    text = inspect(path)
    data = path.read_bytes()
    assert data[: text.border].decode() + data[text.border :].decode() == content


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"abc\x00def", "binary"), (b"caf\xe9 au lait", "UTF-8"), (b"", "empty"), (b"cut \xe2\x82", "UTF-8")],
)
def test_a_named_file_that_is_no_text_is_refused(tmp_path, content, sentence):
    path = tmp_path / "odd.txt"
    path.write_bytes(content)
    with pytest.raises(NotTextError, match=sentence):
        select([path])


def test_folders_are_walked_and_other_files_reported(tmp_path):
    (tmp_path / "b" / "deep").mkdir(parents=True)
    (tmp_path / "b" / "deep" / "two.txt").write_text("two")
    (tmp_path / "a.txt").write_text("one")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\x00")
    (tmp_path / ".hidden").write_text("no")
    (tmp_path / "link.txt").symlink_to(tmp_path / "a.txt")
    selection = select([tmp_path])
    assert [text.name for text in selection.texts] == ["a.txt", "two.txt"]
    assert [skipped.path.name for skipped in selection.skipped] == ["picture.png"]


def test_missing_special_and_barren_paths_are_refused(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        select([tmp_path / "nowhere.txt"])
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="not a regular file"):
        select([tmp_path / "pipe"])
    with pytest.raises(DataError, match="No text file"):
        select([tmp_path])
