"""Checkpoints: exact round trip, refusal of anything else, fall-back, pruning; a kill or a full disk leaves the old."""

import contextlib
import json
import os
import resource
import signal
import struct
import subprocess
import sys

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consensus.commitments.tensors import global_root, state_root
from node.storage.checkpoints import GLOBAL_GROUPS, Checkpoint, CheckpointStore
from node.storage.errors import NoCheckpointError, TensorFileError
from node.storage.tensorfile import HEADER_LIMIT, load_tensors, save_tensors

SHAPES = {"blocks.0.w": (16, 8), "norm": (8,), "scalar": ()}


def tensors(seed):
    torch.manual_seed(seed)
    return {name: torch.randn(shape) for name, shape in SHAPES.items()}


def checkpoint(step, round_number=1):
    groups = {"weights": tensors(step), "m": tensors(step + 1), "v": tensors(step + 2)}
    return Checkpoint(round_number, step, state_root(*groups.values()), groups)


@pytest.fixture
def store(tmp_path):
    return CheckpointStore(tmp_path / "checkpoints", SHAPES, state_root)


def same(left, right):
    return (left.round, left.step, left.root) == (right.round, right.step, right.root) and all(
        torch.equal(left.groups[group][name], right.groups[group][name]) for group in left.groups for name in SHAPES
    )


def test_round_trip_and_latest(store):
    assert store.load_latest() is None
    for step in (0, 20, 10):
        store.save(checkpoint(step))
    loaded = store.load_latest()
    assert same(loaded.checkpoint, checkpoint(20))
    assert loaded.rejected == ()
    assert store.saved() == [(1, 0), (1, 10), (1, 20)]
    assert store.path(1, 0).stat().st_mode & 0o777 == 0o600
    assert [path.name[0] for path in store.folder.iterdir()] == ["r"] * 3


def test_loaded_tensors_outlive_the_file(store):
    path = store.save(checkpoint(1))
    loaded = store.load(path)
    os.truncate(path, 10)
    assert same(loaded, checkpoint(1))


def test_global_state_has_its_own_groups(tmp_path):
    store = CheckpointStore(tmp_path, SHAPES, global_root, GLOBAL_GROUPS)
    groups = {"weights": tensors(1), "velocity": tensors(2)}
    store.save(Checkpoint(7, 0, global_root(*groups.values()), groups))
    assert same(store.load_latest().checkpoint, Checkpoint(7, 0, global_root(*groups.values()), groups))


def test_damaged_newest_falls_back_to_the_one_before(store):
    for step in (1, 2, 3):
        store.save(checkpoint(step))
    os.truncate(store.path(1, 3), store.path(1, 3).stat().st_size - 1)
    data = bytearray(store.path(1, 2).read_bytes())
    data[-1] ^= 1
    store.path(1, 2).write_bytes(data)
    loaded = store.load_latest()
    assert same(loaded.checkpoint, checkpoint(1))
    first, second = loaded.rejected
    assert "truncated" in first.message
    assert "step-0000000003" in first.message
    assert "does not have the root" in second.message
    store.path(1, 1).write_bytes(b"")
    with pytest.raises(NoCheckpointError, match="None of 3 checkpoints"):
        store.load_latest()


def test_a_renamed_checkpoint_is_refused(store):
    store.save(checkpoint(1)).rename(store.path(1, 9))
    with pytest.raises(TensorFileError, match="contradicts"):
        store.load(store.path(1, 9))


def test_pruning_keeps_every_kth_and_the_last(store):
    for step in range(1, 13):
        store.save(checkpoint(step))
    store.prune(every=5, last=2)
    assert [step for _, step in store.saved()] == [5, 10, 11, 12]
    store.save(checkpoint(1, round_number=2))
    store.drop_before(2)
    assert store.saved() == [(2, 1)]


def test_every_truncation_is_refused_by_name(store):
    path = store.save(checkpoint(1))
    data = path.read_bytes()
    for size in [*range(0, 64), *range(64, len(data), 97), len(data) - 1]:
        path.write_bytes(data[:size])
        with pytest.raises(TensorFileError, match="step-0000000001"):
            store.load(path)


def raw(header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


GOOD = {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}


@pytest.mark.parametrize(
    "content",
    [
        raw(GOOD, bytes(9)),
        raw(GOOD, bytes(7)),
        raw({"a": {**GOOD["a"], "dtype": "F64"}}, bytes(16)),
        raw({"a": {**GOOD["a"], "shape": [1, 2]}}, bytes(8)),
        raw({"a": {**GOOD["a"], "data_offsets": [0, 4]}}, bytes(8)),
        raw({"a": {**GOOD["a"], "data_offsets": [8, 16]}}, bytes(8)),
        raw({"a": {**GOOD["a"], "data_offsets": [0, 2**63]}}, bytes(8)),
        raw({"a": {"dtype": "F32", "shape": [2]}}, bytes(8)),
        raw({"a": 1}, bytes(8)),
        raw({"b": GOOD["a"]}, bytes(8)),
        raw({**GOOD, "b": GOOD["a"]}, bytes(8)),
        raw({"__metadata__": 3, **GOOD}, bytes(8)),
        raw({"__metadata__": {"x": 3}, **GOOD}, bytes(8)),
        raw(b"[1, 2]", bytes(8)),
        raw(b"[" * 100_000, bytes(8)),
        raw(b"\xff\xfe{}", bytes(8)),
        raw({}, b"", 2**64 - 1),
        raw({}, bytes(HEADER_LIMIT + 16), HEADER_LIMIT + 1),
    ],
)
def test_files_that_are_not_what_was_asked_for_are_refused(tmp_path, content):
    path = tmp_path / "peer.safetensors"
    path.write_bytes(content)
    with pytest.raises(TensorFileError, match=r"peer\.safetensors"):
        load_tensors(path, {"a": (2,)})


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, 10**6), value=st.integers(0, 255))
def test_no_altered_byte_goes_unnoticed_or_uncaught(store, position, value):
    path = store.save(checkpoint(1))
    data = bytearray(path.read_bytes())
    changed = data[position % len(data)] != value
    data[position % len(data)] = value
    path.write_bytes(data)
    if changed:
        with contextlib.suppress(TensorFileError):
            assert same(store.load(path), checkpoint(1))  # white space of the header
    else:
        store.load(path)


def test_only_fp32_is_written(tmp_path):
    with pytest.raises(ValueError, match="not fp32"):
        save_tensors(tmp_path / "x", {"a": torch.zeros(2, dtype=torch.float64)}, {})


SAVER = """
import sys
from pathlib import Path
import torch
from consensus.commitments.tensors import state_root
from node.storage import files, tensorfile
from node.storage.checkpoints import Checkpoint, CheckpointStore

shapes = {"w": (1 << 20,)}

def handshake(stage):
    print(stage, flush=True)
    sys.stdin.readline()

def announced(function, stage):
    def call(*arguments):
        handshake("before " + stage)
        result = function(*arguments)
        handshake("after " + stage)
        return result
    return call

tensorfile.save_file = announced(tensorfile.save_file, "write")
files.os.fsync = announced(files.os.fsync, "fsync")
files.Path.replace = announced(files.Path.replace, "rename")
groups = {name: {"w": torch.full(shapes["w"], float(sys.argv[2]))} for name in ("weights", "m", "v")}
store = CheckpointStore(Path(sys.argv[1]), shapes, state_root)
store.save(Checkpoint(1, int(sys.argv[2]), state_root(*groups.values()), groups))
handshake("saved")
"""
BIG = {"w": (1 << 20,)}


def save_in_child(folder, step, **options):
    return subprocess.Popen(
        [sys.executable, "-c", SAVER, folder, str(step)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        **options,
    )


def test_kill_at_every_stage_of_a_save(tmp_path):
    store = CheckpointStore(tmp_path, BIG, state_root)
    with save_in_child(tmp_path, 1) as child:
        child.communicate("\n" * 50)
    passed = []
    for stop in range(20):
        store.path(1, 2).unlink(missing_ok=True)
        passed.clear()
        with save_in_child(tmp_path, 2) as child:
            for _ in range(stop):
                passed.append(child.stdout.readline().strip())
                child.stdin.write("\n")
                child.stdin.flush()
            passed.append(child.stdout.readline().strip())
            child.send_signal(signal.SIGKILL)
        latest = store.load_latest()
        assert latest.rejected == ()
        assert latest.checkpoint.step == (2 if "after rename" in passed else 1)
        if passed[-1] == "saved":
            break
    assert passed[-1] == "saved"
    assert {"before write", "after write", "before fsync", "before rename", "after rename"} <= set(passed)


def test_kill_in_the_middle_of_writing(tmp_path):
    store = CheckpointStore(tmp_path, BIG, state_root)
    with save_in_child(tmp_path, 1) as child:
        child.communicate("\n" * 50)
    for turns in range(0, 4000, 800):
        with save_in_child(tmp_path, 2) as child:
            assert child.stdout.readline() == "before write\n"
            child.stdin.write("\n")
            child.stdin.flush()
            for _ in range(turns):
                os.getpid()
            child.send_signal(signal.SIGKILL)
        assert store.load_latest().checkpoint.step == 1
    store.save(Checkpoint(1, 3, bytes(32), {group: {"w": torch.zeros(BIG["w"])} for group in ("weights", "m", "v")}))
    assert sorted(path.name for path in tmp_path.iterdir()) == [store.path(1, 1).name, store.path(1, 3).name]


def test_disk_full_keeps_the_old_checkpoint(tmp_path):
    store = CheckpointStore(tmp_path, BIG, state_root)
    with save_in_child(tmp_path, 1) as child:
        child.communicate("\n" * 50)
    with save_in_child(
        tmp_path,
        2,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20)),
    ) as child:
        _, errors = child.communicate("\n" * 50)
    assert child.returncode == 1
    assert errors.splitlines()[-1].startswith("node.errors.DiskError: Cannot write")
    assert "File too large" in errors.splitlines()[-1]
    assert store.load_latest().checkpoint.step == 1
    assert [path.name for path in tmp_path.iterdir()] == [store.path(1, 1).name]
