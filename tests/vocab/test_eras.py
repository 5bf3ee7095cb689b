"""What a node makes of the chain's versions: shapes, text, programs; and what it refuses to go on with."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from bench.arena import MICRO
from consensus.arithmetic import choose_engine
from consensus.program.known import suite_of
from consensus.training.resize import Change
from governance.activation import History
from node.chain.types import Round
from node.data.corpus import ensure_default
from node.training.work import Workshop
from node.vocabulary.eras import Eras
from node.vocabulary.errors import OtherVersionError

PAIRS = ((32, 116), (104, 101))


@dataclass
class Told:
    """Versions as a chain would tell them."""

    history: History

    def upto(self, number: int) -> History:
        return self.history


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(MICRO, choose_engine(threads=1), ensure_default(tmp_path_factory.mktemp("data")))


@pytest.fixture
def eras(shop: Workshop) -> Eras:
    history = History()
    history.add(1, 0, PAIRS)
    return Eras(shop, Told(history))  # type: ignore[arg-type]


def running(version: int, target: int) -> Round:
    empty = Round(bytes(32), 0, 0, 0, 0, 0, False, bytes(32), bytes(32), "", 0)
    return replace(empty, version=version, target=target, layers=MICRO.layers)


def program(version: int, target: int) -> bytes:
    """The right program hash of a round."""
    grown, grows = replace(MICRO, vocab=266), Change(266, PAIRS)
    suites = {(0, 1): (MICRO, grows), (1, 1): (grown, None), (1, 0): (grown, Change(264)), (0, 0): (MICRO, None)}
    return suite_of(*suites[version, target]).hash()


def test_a_vote_and_its_rollback_round_by_round(shop: Workshop, eras: Eras) -> None:
    seen = []
    grown = eras.of(running(1, 1)).dataset.root
    for version, target in ((0, 0), (0, 1), (1, 1), (1, 0), (0, 0)):
        info = running(version, target)
        eras.check(info, (program(version, target), grown if version else shop.dataset.root))
        made = eras.of(info)
        seen.append((made.config.vocab, made.change.rows if made.change else None, eras.after(info, True).config.vocab))
        assert eras.of(info) is made
    eras.join()
    assert seen == [(264, None, 264), (264, 266, 266), (266, None, 266), (266, 264, 264), (264, None, 264)]
    assert grown != shop.dataset.root


def test_a_transition_without_an_outer_step_leaves_the_version(shop: Workshop, eras: Eras) -> None:
    assert eras.after(running(0, 1), False) is eras.of(running(0, 0))


def test_another_text_is_refused_at_once(shop: Workshop, eras: Eras) -> None:
    with pytest.raises(OtherVersionError, match=r"Version 1 of the vocabulary: this node's text"):
        eras.check(running(1, 1), (program(1, 1), bytes(32)))


def test_another_program_is_refused_when_it_is_known(shop: Workshop, eras: Eras) -> None:
    eras.check(running(0, 1), (b"\x09" * 32, shop.dataset.root))
    with pytest.raises(OtherVersionError, match=r"Version 0 to 1 of the vocabulary: this node's program"):
        eras.join()


def test_a_version_that_no_event_made_is_refused(shop: Workshop, eras: Eras) -> None:
    with pytest.raises(OtherVersionError, match="no version 2"):
        eras.of(replace(running(0, 0), target=2))
