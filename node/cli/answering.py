"""The work of `ponw dispute answer`."""

from __future__ import annotations

import threading

from node.chain.contracts import Contracts
from node.chain.court import AccusationState
from node.chain.deployment import Deployment
from node.cli.court import accuse, play
from node.cli.paying import note
from node.config import Settings
from node.dispute.accusing import Accuser
from node.errors import PonwError
from node.inference.paid.exhibit import exhibit_of
from node.inference.paid.journal import Journal, Record
from node.inference.paid.verify import verify
from node.inference.versions import versions_of


def dispute_answer(settings: Settings, contracts: Contracts, request: str) -> None:
    """Accuse the first wrong token of a paid answer, or go on with that, until the ruling.

    Raises:
        ExhibitError: its server signed nothing. PonwError: nothing is wrong, or nothing can be said. Errors as for
        Accuser.accuse and Player.look.
    """
    record = Journal(settings.home).load(request)
    accuser = Accuser(contracts, exhibit_of(record))
    if accuser.stands().state is AccusationState.NONE:
        accuser = accuse(contracts, record, _first_wrong(settings, contracts, record))
    play(settings, accuser, record, threading.Event())


def _first_wrong(settings: Settings, contracts: Contracts, record: Record) -> int:
    first = Deployment.load(settings.contracts_file).block
    verdict = verify(settings, record, versions_of(contracts, first))
    if verdict.wrong is None:
        raise PonwError(f"No token can be accused. {verdict.words}", "An accusation that is not won costs its bond.")
    note(verdict.words)
    return verdict.wrong
