"""What `ponw infer --verify` and `ponw dispute answer` share: an accusation and its game, told on stderr."""

from __future__ import annotations

import threading

from node.chain.contracts import Contracts
from node.chain.court import Accusation, AccusationState
from node.chain.deployment import Deployment
from node.chain.units import format_time, format_units
from node.cli.paying import note
from node.config import Settings
from node.dispute.accusing import Accuser
from node.dispute.court import Player
from node.errors import FundsError
from node.inference.paid.exhibit import Records, exhibit_of
from node.inference.paid.journal import Journal, Record
from node.inference.paid.weights import KeptWeights


def accuse(contracts: Contracts, record: Record, step: int) -> Accuser:
    """Accuse token `step` of the answer in a record, unless that was done before.

    Raises:
        FundsError: the account has not the stake for the bond. What Accuser.accuse raises besides.
    """
    accuser, terms = Accuser(contracts, exhibit_of(record)), contracts.court.terms()
    if accuser.stands().state is AccusationState.NONE:
        stake = contracts.staking.account_of(contracts.client.address)
        if stake.active - stake.locked < terms.accusation_bond or stake.active < contracts.staking.minimum_stake():
            raise FundsError(
                f"An accusation locks {format_units(terms.accusation_bond)} of the account's stake, which it lacks.",
                f"`ponw stake add {contracts.staking.minimum_stake() // 10**18}`, then "
                f"`ponw dispute answer {record.request[:18]}` until "
                f"{format_time(accuser.exhibit.signed.signed_at + terms.window)}.",
            )
        note(f"Token {step} is wrong and signed by {accuser.exhibit.server}: accusing it before the court.")
        accuser.accuse(step)
    note(f"Accusation 0x{accuser.claim_hash.hex()[:16]} of token {accuser.stands().step} stands.")
    return accuser


def play(settings: Settings, accuser: Accuser, record: Record, stop: threading.Event) -> Accusation:
    """Play an accusation until the ruling, or until `stop` is set. Errors as for Player.look."""
    contracts = accuser.contracts
    records = Records(contracts.court.domain, None, Journal(settings.home))
    first = Deployment.load(settings.contracts_file).block
    standing = accuser.play(Player(contracts, records.find, KeptWeights(settings.home), first), stop)
    note(_outcome(contracts, standing, record))
    return standing


def _outcome(contracts: Contracts, standing: Accusation, record: Record) -> str:
    terms = contracts.court.terms()
    if standing.state is AccusationState.WON:
        return f"The court ruled against the server: {format_units(terms.claim_bond)} of its stake are yours."
    if standing.over:
        return "The accusation is over, and was not won."
    return f"Not ruled yet, and your clock runs: go on with `ponw dispute answer {record.request[:18]}`."
