"""Who answers for money: the server that the operator named, or the cheapest one announced on chain."""

from __future__ import annotations

from dataclasses import dataclass

from node.chain.escrow import InferenceEscrow
from node.dashboard.chain import Chain
from node.dashboard.kept import Kept
from node.dashboard.schemas import Inference, Wallet
from node.errors import PonwError
from node.inference.paid.discovery import Server, cheapest, named
from node.inference.paid.terms import Terms
from node.inference.versions import prompt_encoder

LISTING_SECONDS = 5.0


@dataclass(frozen=True)
class Paying:
    """The unlocked wallet's account and the most that one answer may cost, wei."""

    account: str
    max_fee: int


class Market:
    """Chooses a server. A page never names one: what is asked of it goes where the operator or the chain says."""

    def __init__(self, chain: Chain, uri: str | None = None, paying: Paying | None = None) -> None:
        self.chain, self._uri, self._paying = chain, uri, paying
        self._server = Kept(self._choose, LISTING_SECONDS)

    def server(self) -> Server:
        """Who is asked now. Raises OfferError, MessageError, ChainError."""
        return self._server.get()

    def escrow(self) -> InferenceEscrow:
        """The network's escrow, for reading. Raises ContractsError, RpcError."""
        contracts, _ = self.chain.connected()
        return InferenceEscrow.of(contracts.client, self.chain.deployment())

    def terms(self, server: Server, max_fee: int) -> Terms:
        """What is accepted of an offer."""
        contracts, first = self.chain.connected()
        return Terms(max_fee, server.address, prompt_encoder(contracts, first))

    def describe(self) -> Inference:
        """The page's figures; `why_not` where nobody can be asked."""
        wallet = None
        try:
            escrow = self.escrow()
            wallet = self._wallet(escrow)
            server = self.server()
        except PonwError as error:
            return Inference(wallet=wallet, why_not=f"{error.message} {error.hint}".strip())
        listing = server.listing
        return Inference(
            server=server.uri,
            account=server.address or "",
            price_wei=listing.price.price,
            busy=listing.price.busy,
            slots=listing.price.slots,
            tier=listing.price.tier,
            vocabulary=listing.served.vocabulary,
            model_root=listing.served.model_root,
            chain_id=escrow.domain.chain_id,
            escrow=escrow.address,
            wallet=wallet,
        )

    def _choose(self) -> Server:
        return named(self._uri) if self._uri else cheapest(*self.chain.connected())

    def _wallet(self, escrow: InferenceEscrow) -> Wallet | None:
        if self._paying is None:
            return None
        account = self._paying.account
        contracts, _ = self.chain.connected()
        return Wallet(
            account=account,
            balance_wei=str(contracts.token.balance_of(account)),
            deposit_wei=str(escrow.deposit_of(account)),
            max_fee_wei=str(self._paying.max_fee),
        )
