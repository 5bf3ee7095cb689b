"""The ledger reads a round at one block, whatever happens on the chain between its calls."""

from __future__ import annotations

import pytest

from node.chain.events import ClaimFinal, Event
from node.chain.published import Published
from node.chain.types import Block, Phase
from node.errors import RpcError
from node.training.ledger import Ledger, final_set
from tests.training.conftest import World

pytestmark = pytest.mark.process


def test_claims_that_become_final_while_the_ledger_reads_are_seen_whole_or_not_yet(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for index in (1, 2):
        world.account(index)
        world.start(index)
    view = world.until(lambda now: len(now.trains) == 2)
    world.close_training()
    world.close_window()
    contracts = world.contracts(0)
    ledger, newest = Ledger(contracts, world.network.deployment.block), contracts.client.block
    waiting = list(view.trains)

    def late() -> Block:
        found = newest()
        while waiting:
            contracts.registry.finalise(waiting.pop().claim)
        return found

    monkeypatch.setattr(contracts.client, "block", late)
    before, after = ledger.look(), ledger.look()
    assert (before.phase, len(before.finals), before.info.final_set) == (Phase.SETTLE, 0, bytes(32))
    assert (after.phase, len(after.finals)) == (Phase.OUTER, 2)
    assert final_set(after.finals) == after.info.final_set


def test_an_endpoint_that_leaves_final_claims_out_is_not_believed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.account(1)
    world.start(1)
    view = world.until(lambda now: len(now.trains) == 1)
    world.close_training()
    world.close_window()
    contracts = world.contracts(0)
    contracts.registry.finalise(view.trains[0].claim)
    ledger, events = Ledger(contracts, world.network.deployment.block), contracts.registry.events

    def partial(first: int, last: int) -> list[Event]:
        return [event for event in events(first, last) if not isinstance(event, ClaimFinal)]

    monkeypatch.setattr(contracts.registry, "events", partial)
    with pytest.raises(RpcError, match="lack final claims of round 1"):
        ledger.look()


def test_terms_that_are_not_the_rounds_own_are_not_believed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.account(1)
    world.start(1)
    view = world.until(lambda now: now.number == 1)
    contracts = world.contracts(0)
    assert view.terms == contracts.vocabulary.terms()
    ledger = Ledger(contracts, world.network.deployment.block)
    monkeypatch.setattr(Published, "of_round", lambda *_: (bytes(32), view.terms[1]))
    with pytest.raises(RpcError, match="do not have the terms of a round from version 0 to 0"):
        ledger.look()
