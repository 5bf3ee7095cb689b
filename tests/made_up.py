"""Proposals with made-up hashes: a contract knows no program, so they can be proposed, and voters would refuse them."""

from __future__ import annotations

from economics.constants import GROWTH_RATE_STEPS
from node.chain.contracts import Contracts
from node.chain.types import Change, Deepening, Proposal

HASHES = tuple(bytes([number]) * 32 for number in range(4, 7))


def growth_proposed(contracts: Contracts, uri: str) -> Proposal:
    """Put a growth by three layers on chain, as the contracts' account; as the log has it."""
    layers, data_root = contracts.vocabulary.depth()[0], contracts.vocabulary.terms()[1]
    growth = Deepening(1, 0, int(GROWTH_RATE_STEPS), layers, layers + 3, ((b"\x08" * 32, b"\x09" * 32),))
    contracts.growth.propose(Change(0, *HASHES, data_root, growth.encode(), deepens=True), uri)
    (*_, found) = contracts.growth.proposals(0, contracts.client.block().number)
    return found
