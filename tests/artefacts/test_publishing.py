"""What is published, under which names, and when it becomes visible."""

import hashlib
import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from node.artefacts.layout import parse_index, parse_round, valid_name
from node.artefacts.publisher import RoundPublisher, drop_rounds_before, read_index
from node.storage.tensorfile import load_tensors, save_tensors


def publish(root, number=3):
    publisher = RoundPublisher(root, number)
    publisher.put_trace([bytes([step]) * 72 for step in range(4)])
    publisher.put_claim(b'{"kind": 1}')
    publisher.put_update({"w": torch.arange(6.0).reshape(2, 3)})
    source = root.parent / "local.safetensors"
    save_tensors(source, {"weights/w": torch.ones(2, 3)}, {})
    publisher.put_checkpoint(0, source)
    publisher.put_checkpoint(2, source)
    return publisher


def test_nothing_is_listed_before_finish(tmp_path):
    publisher = publish(tmp_path / "artefacts")
    assert read_index(tmp_path / "artefacts", 3) is None
    index = publisher.finish()
    assert read_index(tmp_path / "artefacts", 3) == index
    assert index.checkpoint_steps() == [0, 2]
    for entry in index.files:
        data = (publisher.folder / entry.name).read_bytes()
        assert (entry.size, entry.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert {entry.name for entry in index.files} | {"index.json"} == {path.name for path in publisher.folder.iterdir()}
    assert publish(tmp_path / "artefacts").finish() == index


def test_removing_the_local_checkpoint_leaves_the_published_one(tmp_path):
    publisher = publish(tmp_path / "artefacts")
    (tmp_path / "local.safetensors").unlink()
    content = load_tensors(publisher.folder / "checkpoint-2.safetensors", {"weights/w": (2, 3)})
    assert torch.equal(content.tensors["weights/w"], torch.ones(2, 3))


def test_a_leaf_of_another_size_is_a_mistake(tmp_path):
    with pytest.raises(ValueError, match="72 bytes"):
        RoundPublisher(tmp_path, 1).put_trace([bytes(71)])


def test_old_rounds_are_dropped(tmp_path):
    for number in (1, 2, 10):
        publish(tmp_path / "artefacts", number).finish()
    drop_rounds_before(tmp_path / "artefacts", 10)
    assert [path.name for path in (tmp_path / "artefacts").iterdir()] == ["10"]
    drop_rounds_before(tmp_path / "nowhere", 10)


@given(st.text(max_size=40) | st.from_regex(r"(\.\./)*checkpoint-[0-9]+\.safetensors\n?", fullmatch=True))
def test_only_published_names_are_valid(name):
    plain = name in {"trace.bin", "claim.json", "global.safetensors", "base.safetensors", "update.bin"}
    digits = name.removeprefix("checkpoint-").removesuffix(".safetensors")
    step = name == f"checkpoint-{digits}.safetensors" and digits.isascii() and digits.isdecimal()
    assert valid_name(name) == (plain or (step and str(int(digits)) == digits and len(digits) <= 10))


@given(st.text(max_size=22) | st.integers(-5, 10**19).map(str))
def test_a_round_has_one_spelling(text):
    number = parse_round(text)
    assert number is None or (str(number) == text and number < 2**63)
    if text.isascii() and text.isdecimal() and len(text) <= 18 and str(int(text)) == text:
        assert number == int(text)


GOOD = {"schema_version": 1, "round": 1, "files": [{"name": "trace.bin", "size": 72, "sha256": "00" * 32}]}


@pytest.mark.parametrize(
    "change",
    [
        {"round": -1},
        {"round": "1"},
        {"schema_version": 2},
        {"extra": 1},
        {"files": GOOD["files"] * 2},
        {"files": [{**GOOD["files"][0], "name": "../claim.json"}]},
        {"files": [{**GOOD["files"][0], "name": "claim.json\n"}]},
        {"files": [{**GOOD["files"][0], "size": -1}]},
        {"files": [{**GOOD["files"][0], "size": 2**60}]},
        {"files": [{**GOOD["files"][0], "sha256": "00"}]},
    ],
)
def test_a_malformed_index_is_none(change):
    assert parse_index(json.dumps(GOOD).encode()) is not None
    assert parse_index(json.dumps({**GOOD, **change}).encode()) is None
    assert parse_index(b"[" * 100_000) is None
