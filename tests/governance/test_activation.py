"""From what the chain activated to what a round runs."""

from __future__ import annotations

import pytest

from bench.arena import MICRO
from consensus.errors import VocabularyError
from consensus.training.resize import Change
from governance.activation import History
from governance.tokenizer import Vocabulary
from governance.versions import ROOT_0, next_root

FIRST = ((116, 104), (264, 101))
SECOND = ((32, 265),)
OTHER = ((97, 98), (264, 99))


def history() -> History:
    """Versions 1 and 2 in a row, and 3 beside 2 after 2 was taken back."""
    made = History()
    made.add(1, 0, FIRST)
    made.add(2, 1, SECOND)
    made.add(3, 1, SECOND)
    return made


def test_a_version_means_its_whole_ancestry() -> None:
    versions = history()
    assert [version.vocabulary.rows for version in (versions[0], versions[1], versions[3])] == [264, 266, 267]
    assert versions[2].vocabulary.merges == (*FIRST, *SECOND) == versions[3].vocabulary.merges
    assert versions[0].vocabulary.tokens == Vocabulary().tokens
    beside = History()
    beside.add(1, 0, FIRST)
    beside.add(2, 0, OTHER)
    assert beside[2].vocabulary.merges == OTHER


def test_rounds_between_versions_grow_or_shrink() -> None:
    versions = history()
    ordinary = versions.era(MICRO, 1, 1)
    assert (ordinary.config.vocab, ordinary.change, ordinary.after) == (266, None, ordinary.config)
    grows = versions.era(MICRO, 0, 1)
    assert (grows.config, grows.change, grows.after.vocab) == (MICRO, Change(266, FIRST), 266)
    shrinks = versions.era(MICRO, 3, 1)
    assert (shrinks.config.vocab, shrinks.change, shrinks.after.vocab) == (267, Change(266), 266)


@pytest.mark.parametrize(("current", "target"), [(0, 2), (2, 0), (2, 3), (0, 4), (4, 4)])
def test_no_other_way_leads_between_versions(current: int, target: int) -> None:
    with pytest.raises(VocabularyError):
        history().era(MICRO, current, target)


def test_a_root_binds_the_whole_ancestry() -> None:
    versions = history()
    assert versions[0].root == ROOT_0
    assert versions[1].root == next_root(ROOT_0, FIRST)
    assert versions[2].root == next_root(versions[1].root, SECOND) == versions[3].root


def test_a_version_that_does_not_follow_is_refused() -> None:
    versions = history()
    with pytest.raises(VocabularyError, match="9999"):
        versions.add(4, 0, ((264, 9999),))
    with pytest.raises(VocabularyError, match="does not follow"):
        versions.add(5, 1, SECOND)
    with pytest.raises(VocabularyError, match="there is no version 9"):
        versions.add(4, 9, SECOND)
