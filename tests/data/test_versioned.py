"""The dataset in tokens of a later version: the same text, the same root everywhere, whatever stopped the build."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from governance.tokenizer import Encoder, Vocabulary, count_words
from node.data.dataset import Dataset
from node.data.manifest import SHARDS_NAME, load_manifest
from node.data.text import select
from node.data.tokens import BOS, EOS
from node.data.versioned import training_documents, version_folder, versioned
from node.data.writer import add_texts

TEXTS = {"a.txt": "the theme of the thesis, then " * 40, "b.txt": "naïve\n\n  lines  " * 30, "c.txt": "x"}
VOCABULARY = Vocabulary([(116, 104), (264, 101), (32, 265), (32, 32)])
ROOT = b"\x07" * 32


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    for name, text in TEXTS.items():
        (tmp_path / name).write_text(text)
    add_texts(tmp_path / "data", select([tmp_path / name for name in TEXTS]).texts)
    return Dataset.open(tmp_path / "data")


def everything(dataset: Dataset, split: str) -> np.ndarray:
    sequence = dataset.train if split == "train" else dataset.heldout
    return sequence.window(0, len(sequence))


def test_it_holds_the_same_text_between_the_same_borders(dataset: Dataset) -> None:
    made = versioned(dataset, Encoder(VOCABULARY), ROOT)
    for split in ("train", "heldout"):
        before, after = everything(dataset, split), everything(made, split)
        assert VOCABULARY.decode(after.tolist()) == Vocabulary().decode(before.tolist())
        for special in (BOS, EOS):
            assert (after == special).sum() == (before == special).sum()
    assert len(made.train) < len(dataset.train)
    assert {(s.source, s.split) for s in made.manifest.shards} == {(s.source, s.split) for s in dataset.manifest.shards}


def test_it_is_built_once_and_its_root_is_the_text_s_and_the_vocabulary_s(dataset: Dataset, tmp_path: Path) -> None:
    seen: list[int] = []
    made = versioned(dataset, Encoder(VOCABULARY), ROOT, seen.append)
    assert sum(seen) == sum(len(text.encode()) for text in TEXTS.values())
    again = versioned(dataset, Encoder(VOCABULARY), ROOT, lambda _: pytest.fail("built twice"))
    assert again.root == made.root
    other = versioned(dataset, Encoder(VOCABULARY.extended([(266, 109)])), b"\x08" * 32)
    assert other.root not in (made.root, dataset.root)
    assert other.folder != made.folder


def test_version_0_in_its_own_folder_would_be_the_byte_dataset(dataset: Dataset) -> None:
    assert versioned(dataset, Encoder(Vocabulary()), ROOT).root == dataset.root


def test_a_build_that_was_stopped_is_taken_up_again(dataset: Dataset) -> None:
    class StopError(Exception):
        pass

    sizes: list[int] = []

    def stop(size: int) -> None:
        sizes.append(size)
        if len(sizes) == 4:
            raise StopError

    with pytest.raises(StopError):
        versioned(dataset, Encoder(VOCABULARY), ROOT, stop)
    folder = version_folder(dataset, ROOT)
    half = load_manifest(folder)
    assert half is not None
    (folder / SHARDS_NAME / ".left.bin.1.tmp").write_bytes(b"half a shard")
    done = versioned(dataset, Encoder(VOCABULARY), ROOT)
    assert set(half.shards) < set(done.manifest.shards)
    assert done.verify() == []
    assert done.root == versioned(dataset, Encoder(VOCABULARY), b"\x09" * 32).root
    assert not list((folder / SHARDS_NAME).glob(".*"))


def test_words_are_counted_in_the_training_text_alone(dataset: Dataset) -> None:
    words = count_words(training_documents(dataset))
    text = Vocabulary().decode(everything(dataset, "train").tolist())
    assert sum(len(word) * times for word, times in words.items()) == len(text)
    assert words[b" theme"] == text.count(b" theme")
