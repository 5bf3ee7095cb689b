"""What a proposal carries and the checks of it, over real programs and real text; no chain."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench.arena import MICRO
from consensus.arithmetic import choose_engine
from consensus.program.known import suite_of
from consensus.training.resize import Change
from governance.activation import History
from governance.tokenizer import Encoder
from governance.versions import ROOT_0, Merge, next_root
from node.data.corpus import ensure_default
from node.data.versioned import versioned
from node.training.work import Workshop
from node.vocabulary.proposing import Desk, Draft


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(MICRO, choose_engine(threads=1), ensure_default(tmp_path_factory.mktemp("data")))


@pytest.fixture(scope="module")
def draft(shop: Workshop) -> Draft:
    desk = Desk(shop, History())
    return desk.draft(0, desk.suggest(0, 5))


def failed(shop: Workshop, draft: Draft) -> list[str]:
    checks = Desk(shop, History()).checks(draft)
    return [str(refusal) for check in checks for refusal in check.refusals]


def test_a_draft_carries_the_hashes_of_its_programs_and_text(shop: Workshop, draft: Draft) -> None:
    grown = replace(MICRO, vocab=269)
    assert draft.terms.program_hash == suite_of(grown).hash()
    assert draft.terms.grow_hash == suite_of(MICRO, Change(269, draft.pairs)).hash()
    assert draft.terms.shrink_hash == suite_of(grown, Change(264)).hash()
    root = next_root(ROOT_0, draft.pairs)
    assert failed(shop, draft) == []
    encoder = Encoder(History()[0].vocabulary.extended(draft.pairs))
    assert draft.terms.data_root == versioned(shop.dataset, encoder, root).root != shop.dataset.root


def test_wrong_hashes_are_named(shop: Workshop, draft: Draft) -> None:
    wrong = replace(draft, terms=replace(draft.terms, grow_hash=bytes(32), data_root=bytes(32)))
    found = failed(shop, wrong)
    assert [text.split(" is 0x")[0] for text in found] == [
        "the program hash of the round that grows",
        "the root of the dataset",
    ]


def test_a_false_frequency_is_found_by_whoever_recounts(shop: Workshop, draft: Draft) -> None:
    first = draft.merges[0]
    lying = replace(draft, merges=(replace(first, occurrences=first.occurrences + 1), *draft.merges[1:]))
    assert failed(shop, lying)[0].startswith(f'merge 0 " t": {first.occurrences + 1:,} occurrences are claimed')


def test_nothing_is_hashed_where_the_merges_make_no_vocabulary(shop: Workshop, draft: Draft) -> None:
    torn = replace(draft, merges=(Merge(9999, 1, 5000),), terms=replace(draft.terms, grow_hash=bytes(32)))
    assert failed(shop, torn) == ["merge 0 joins 9999 and 1, but 264 ids stand before it"]


def test_counting_takes_the_training_text_only(shop: Workshop, tmp_path: Path) -> None:
    desk = Desk(shop, History())
    merge = desk.suggest(0, 1)[0]
    assert desk.counted(0, [merge.pair]) == [merge]
    assert sum(len(word) * times for word, times in desk.words.items()) < len(shop.dataset.train)
