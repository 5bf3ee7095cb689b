"""A payer's records: on disk before anything is done, refused when damaged, held by one process at a time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from node.chain.escrow import RequestState
from node.inference.paid.closing import Closer
from node.inference.paid.desk import QUOTE_SECONDS
from node.inference.paid.errors import RequestFileError
from node.inference.paid.journal import FOLDER, Journal, Step
from tests.payment.conftest import Market


def test_a_crash_between_record_and_opening_locks_nothing(market: Market, served: str) -> None:
    record, payer = market.asked(served), market.payer()
    closer = Closer(payer.contracts, payer.escrow, payer.journal)
    standing = closer.step(record)
    assert (standing.view.state, standing.over) == (RequestState.NONE, False)
    market.network.advance(QUOTE_SECONDS + 1)
    assert closer.step(record).over
    assert payer.journal.open() == []


def test_a_crash_between_opening_and_its_record_is_found_on_chain(market: Market, served: str) -> None:
    record, payer = market.asked(served), market.payer()
    before = payer.journal.load(record.request)
    payer.open(record)
    payer.journal.save(before)  # the crash: the transaction is mined, the file does not know it
    again = payer.journal.load(record.request)
    assert (again.step, again.block) == (Step.PREPARED, 0)
    closer = Closer(payer.contracts, payer.escrow, payer.journal)
    assert closer.step(again).view.state is RequestState.OPEN
    market.network.advance(payer.escrow.progress_time())
    assert closer.step(again).view.state is RequestState.CANCELLED
    market.network.advance(payer.escrow.settle_time() + 1)
    assert closer.step(again).over
    assert payer.escrow.deposit_of(payer.address) == record.quote.most


def test_records_are_found_by_the_beginning_of_their_id(market: Market, served: str) -> None:
    record, journal = market.asked(served), market.payer().journal
    other = market.asked(served, prompt="Another")
    assert journal.load(record.request[:12]) == record
    assert {found.request for found in journal.all()} == {record.request, other.request}
    with pytest.raises(RequestFileError, match="2 requests begin"):
        journal.load("0x")
    with pytest.raises(RequestFileError, match="no request"):
        journal.load("0xnone")


def test_a_record_is_held_by_one_at_a_time(market: Market, served: str) -> None:
    record, journal = market.asked(served), market.payer().journal
    with journal.hold(record), pytest.raises(RequestFileError, match="another process"), journal.hold(record):
        pass
    with journal.hold(record):
        pass


@pytest.mark.parametrize("damage", ["cut", "field", "name", "extra"])
def test_a_damaged_record_is_one_sentence(market: Market, served: str, damage: str, tmp_path: Path) -> None:
    record, journal = market.asked(served), Journal(tmp_path / "payer1")
    path = tmp_path / "payer1" / FOLDER / f"{record.request}.json"
    document = json.loads(path.read_text())
    if damage == "cut":
        path.write_text(path.read_text()[:100])
    elif damage == "name":
        path.rename(path.with_name("0x" + "00" * 32 + ".json"))
    else:
        document |= {"tokens": -1} if damage == "field" else {"more": 1}
        path.write_text(json.dumps(document))
    with pytest.raises(RequestFileError, match="record"):
        journal.all()
