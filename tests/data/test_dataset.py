"""Shards, their manifest, and the sequence read from them."""

import hashlib
import json
import struct
from pathlib import Path

import numpy as np
import pytest

from consensus.commitments import tree
from node.data import corpus
from node.data.corpus import ensure_default
from node.data.dataset import Dataset
from node.data.errors import DatasetBusyError, DatasetTooSmallError, ManifestError, ShardError
from node.data.manifest import load_manifest, shard_path
from node.data.text import inspect
from node.data.tokens import BOS, EOS, decode
from node.data.writer import DatasetWriter, add_texts
from node.errors import DataError


def write_text(tmp_path, name="book.txt", size=10_000):
    path = tmp_path / name
    path.write_text("".join(f"{name} line {number}\n" for number in range(size // 16)))
    return path


def build(tmp_path, shard_bytes=1000, names=("one.txt", "two.txt")):
    folder = tmp_path / "data"
    with DatasetWriter(folder, shard_bytes) as writer:
        for name in names:
            writer.add(inspect(write_text(tmp_path, name)))
        writer.commit()
    return folder


def test_tokens_are_bos_bytes_eos_for_both_splits(tmp_path):
    path = write_text(tmp_path)
    add_texts(tmp_path / "data", [inspect(path)])
    dataset = Dataset.open(tmp_path / "data")
    train = dataset.window(0, len(dataset.train))
    heldout = dataset.heldout.window(0, len(dataset.heldout))
    assert train[0] == heldout[0] == BOS
    assert train[-1] == heldout[-1] == EOS
    assert decode(train) + decode(heldout) == path.read_bytes()
    assert len(heldout) - 2 == pytest.approx(path.stat().st_size * 0.05, abs=4)


def test_windows_cross_shard_borders(tmp_path):
    folder = build(tmp_path)
    dataset = Dataset.open(folder)
    assert len(dataset.manifest.part("train")) > 20
    files = [np.fromfile(shard_path(folder, shard.name), "<u2") for shard in dataset.manifest.part("train")]
    whole = np.concatenate(files)
    assert all(len(tokens) <= 500 for tokens in files)
    for offset, length in [(0, len(whole)), (499, 2), (500, 500), (250, 2750), (len(whole), 0), (len(whole) - 1, 1)]:
        np.testing.assert_array_equal(dataset.window(offset, length), whole[offset : offset + length])
    for offset, length in [(-1, 2), (len(whole), 1), (0, len(whole) + 1)]:
        with pytest.raises(IndexError):
            dataset.window(offset, length)


def test_limit_is_the_number_of_windows_that_fit(tmp_path):
    dataset = Dataset.open(build(tmp_path))
    limit = dataset.limit(64)
    assert len(dataset.window(limit - 1, 65)) == 65
    with pytest.raises(IndexError):
        dataset.window(limit, 65)
    with pytest.raises(DatasetTooSmallError):
        dataset.limit(len(dataset.train))


def test_heldout_windows_are_fixed_and_never_trained_on(tmp_path):
    folder = build(tmp_path)
    first, again = Dataset.open(folder), Dataset.open(folder)
    windows = first.heldout_windows(32, 5)
    assert windows.shape == (5, 33)
    np.testing.assert_array_equal(windows, again.heldout_windows(32, 5))
    assert decode(windows[0]) not in decode(first.window(0, len(first.train)))
    assert first.heldout_windows(32, 10**9).shape[0] == len(first.heldout) - 32


def test_root_follows_the_documented_tree_and_not_file_names(tmp_path):
    folder = build(tmp_path)
    manifest = load_manifest(folder)
    leaves, first = [], 0
    for shard in sorted(manifest.shards, key=lambda shard: (shard.split == "heldout", shard.name)):
        data = shard_path(folder, shard.name).read_bytes()
        pieces = [data[at : at + 1024] for at in range(0, len(data), 1024)]
        root = tree.root([tree.leaf_hash(piece) for piece in pieces])
        count = len(data) // 2
        leaves.append(tree.leaf_hash(shard.name.encode() + struct.pack(">xQQ", first, count) + root))
        first += count
    trained = sum(shard.tokens for shard in manifest.part("train"))
    words = len(leaves).to_bytes(32, "big") + trained.to_bytes(32, "big")
    assert manifest.root == hashlib.sha256(b"ponw/data/1\0" + words + tree.root(leaves)).digest()
    renamed = tmp_path / "other-name.txt"
    renamed.write_bytes((tmp_path / "one.txt").read_bytes())
    with DatasetWriter(tmp_path / "elsewhere", 1000) as writer:
        writer.add(inspect(tmp_path / "two.txt"))
        writer.add(inspect(renamed))
        assert writer.commit().root == manifest.root


def test_the_same_text_again_changes_nothing(tmp_path):
    folder = build(tmp_path)
    before = (folder / "manifest.json").read_bytes()
    copy = tmp_path / "copy.txt"
    copy.write_bytes((tmp_path / "one.txt").read_bytes())
    results = add_texts(folder, [inspect(tmp_path / "one.txt"), inspect(copy)])
    assert [added.outcome for added in results] == ["present", "present"]
    assert (folder / "manifest.json").read_bytes() == before


def damage(path, kind):
    data = path.read_bytes()
    if kind == "missing":
        path.unlink()
    elif kind == "truncated":
        path.write_bytes(data[:-2])
    else:
        path.write_bytes(bytes([data[0] ^ 1]) + data[1:])


@pytest.mark.parametrize("kind", ["missing", "truncated", "changed"])
def test_a_damaged_shard_is_named_and_adding_its_text_repairs_it(tmp_path, kind):
    add_texts(tmp_path / "data", [inspect(write_text(tmp_path, name)) for name in ("one.txt", "two.txt")])
    folder = tmp_path / "data"
    victim = load_manifest(folder).shards[1]
    damage(shard_path(folder, victim.name), kind)
    with pytest.raises(ShardError) as caught:
        Dataset.open(folder, full=True)
    assert [(p.name, p.kind) for p in caught.value.problems] == [(victim.name, kind)]
    assert victim.name in caught.value.message
    if kind != "changed":
        with pytest.raises(ShardError, match=victim.name):
            Dataset.open(folder)
    assert add_texts(folder, [inspect(tmp_path / victim.source)])[0].outcome == "repaired"
    assert Dataset.open(folder, full=True).verify() == []


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: b"",
        lambda raw: raw[:-20],
        lambda raw: b"[" * 100_000,
        lambda raw: json.dumps({**json.loads(raw), "schema_version": 2}).encode(),
        lambda raw: json.dumps({**json.loads(raw), "dataset_root": "00" * 32}).encode(),
        lambda raw: json.dumps({**json.loads(raw), "shards": []}).encode(),
        lambda raw: raw.replace(b"-train-", b"/../../x", 1),
        lambda raw: raw.replace(b'"train"', b'"heldout"', 1),
    ],
)
def test_an_altered_manifest_is_refused(tmp_path, change):
    folder = build(tmp_path)
    path = folder / "manifest.json"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ManifestError, match=r"manifest\.json is not usable"):
        Dataset.open(folder)


def test_a_file_that_changes_meanwhile_is_not_added(tmp_path):
    path = write_text(tmp_path)
    text = inspect(path)
    with path.open("a") as file:
        file.write("more")
    with pytest.raises(DataError, match="changed while"):
        add_texts(tmp_path / "data", [text])
    assert list((tmp_path / "data" / "shards").iterdir()) == []


def test_two_writers_at_once_are_refused(tmp_path):
    with DatasetWriter(tmp_path), pytest.raises(DatasetBusyError), DatasetWriter(tmp_path):
        pass
    with DatasetWriter(tmp_path):
        pass


def test_shipped_corpus_is_what_its_provenance_says(tmp_path):
    dataset = ensure_default(tmp_path / "data")
    provenance = (Path(corpus.__file__).parent / "corpus" / "PROVENANCE.md").read_text()
    sources = {shard.source: shard.source_sha256 for shard in dataset.manifest.shards}
    assert len(sources) == 3
    for name, digest in sources.items():
        assert f"`{name}`" in provenance
        assert digest in provenance
    assert 600_000 < len(dataset.train) + len(dataset.heldout) < 800_000
    before = (tmp_path / "data" / "manifest.json").stat()
    assert ensure_default(tmp_path / "data").root == dataset.root
    assert (tmp_path / "data" / "manifest.json").stat().st_mtime_ns == before.st_mtime_ns
