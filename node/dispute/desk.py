"""What the operator's commands about disputes work with, outside of a running node."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from consensus.training.outer import GlobalState
from node.chain.contracts import Contracts
from node.config import Settings
from node.dispute.cases import Cases
from node.errors import PeerError
from node.genesis import workshop
from node.paths import private_folder
from node.training.ledger import ClaimView, Ledger, RoundView
from node.training.starts import have_start
from node.training.states import GlobalStates
from node.training.tools import STATES_NAME, Tools
from node.vocabulary.eras import Eras
from node.vocabulary.versions import Versions

SHORTEST_PREFIX = 6
"""Hex digits that name a claim or a game at least."""


class UnknownClaimError(PeerError):
    """No claim, or more than one, has this name."""


@dataclass(frozen=True)
class Desk:
    """The chain, this node's files and an engine."""

    ledger: Ledger
    cases: Cases
    states: GlobalStates

    def find(self, name: str) -> tuple[RoundView, ClaimView]:
        """A claim by the beginning of its hash, newest rounds first.

        Raises:
            UnknownClaimError: none or several have it.
        """
        newest = self.ledger.look()
        for number in range(newest.number, 0, -1):
            view = newest if number == newest.number else self.ledger.look(number)
            found = [claim for claim in view.claims if is_prefix(name, claim.hash)]
            if len(found) == 1:
                return view, found[0]
            if found:
                raise UnknownClaimError(f"{len(found)} claims begin with {name}.", "Give more of the hash.")
        raise UnknownClaimError(f"No claim begins with {name}.", "`ponw audit` lists them.")

    def require_start(self, view: RoundView, claim: ClaimView) -> None:
        """Have the state that a claim's work began from, from a peer if need be.

        Raises:
            StateUnavailableError: nobody serves it.
        """
        have_start(self.states, view, claim, self.cases.workshop(view).config.shapes())

    def start(self, view: RoundView, claim: ClaimView) -> GlobalState:
        """The state that a claim's work began from.

        Raises:
            PeerError: it is not here; see ``require_start``.
        """
        start = view.start_of(claim.claim)
        state = self.states.own(start.number, start.root, self.cases.workshop(view).config.shapes())
        if state is None:
            raise PeerError("The round's start was here and is gone.", "Try again.")
        return state


def is_prefix(name: str, whole: bytes) -> bool:
    """Whether a hash is called so: 0x and its first digits."""
    digits = name.lower().removeprefix("0x")
    return len(digits) >= SHORTEST_PREFIX and whole.hex().startswith(digits)


def desk(settings: Settings, contracts: Contracts, first_block: int, me: str, tick: Callable[[], None]) -> Desk:
    """Everything, from the settings; the engine is built on first use. ``tick`` is called at every recomputed step.

    Raises:
        KernelError (consensus), ManifestError, ShardError, DiskError.
    """
    home = private_folder(settings.home)
    shop = workshop(settings)
    states = GlobalStates(home / STATES_NAME, shop.config.shapes(), shop.genesis_state())
    eras = Eras(shop, Versions(contracts, first_block))
    cases = Cases(me, lambda: eras, states, lambda made: Tools.of(made, home, me, tick))
    return Desk(Ledger(contracts, first_block), cases, states)
