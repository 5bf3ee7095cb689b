"""For a wallet in the browser (EIP-1193): checks a server's offer as a payer does, and prepares what it is to sign."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict

from eth_utils.address import to_checksum_address

from economics.constants import VOUCHER_TOKENS
from node.chain.contracts import Contracts
from node.chain.escrow import InferenceEscrow, Quote
from node.chain.units import format_units
from node.dashboard.market import Market
from node.dashboard.schemas import Prepared, Sending, WalletQuestion
from node.errors import FundsError
from node.inference.paid.fetch import post
from node.inference.paid.messages import Asked, Offer, read_offer, unhex
from node.inference.paid.terms import check_offer

REQUESTS_MAX = 256
"""Requests whose answers are passed on; an older one is forgotten, and asked again for nothing."""


class BrowserWallet:
    """Prepares requests, and remembers which server each of them is for. Holds no key."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._servers: OrderedDict[str, str] = OrderedDict()
        self._lock = threading.Lock()

    def prepare(self, question: WalletQuestion) -> Prepared:
        """A checked offer with the transactions that open it; nothing is signed and nothing sent.

        Raises:
            OfferError, MessageError: see check_offer. FundsError: the account does not hold the fee. ChainError.
        """
        server, payer = self._market.server(), to_checksum_address(question.payer)
        asked = Asked(
            payer=payer,
            signer=payer,
            prompt=question.prompt,
            max_tokens=question.max_tokens,
            temperature_milli=question.temperature_milli,
        )
        offer = read_offer(post(f"{server.uri}/ponw/v1/quotes", asked.model_dump_json()))
        contracts, escrow = self._market.chain.connected()[0], self._market.escrow()
        terms = self._market.terms(server, int(question.max_fee_wei))
        quote = check_offer(contracts, escrow, asked, offer, terms)
        request = escrow.domain.quote_hash(quote)
        self._remember("0x" + request.hex(), server.uri)
        return Prepared(
            request="0x" + request.hex(),
            price_wei=str(quote.price),
            most_wei=str(quote.most),
            chain_id=escrow.domain.chain_id,
            voucher_tokens=VOUCHER_TOKENS,
            sendings=_sendings(contracts, escrow, quote, offer),
            voucher=escrow.domain.voucher_document(request, 0),
            begin={
                "type": "begin",
                "asked": asked.model_dump(),
                "quote": offer.quote.model_dump(),
                "signature": offer.signature,
            },
        )

    def server_of(self, request: str) -> str | None:
        """Where a prepared request is answered; None for one that was not prepared here."""
        with self._lock:
            return self._servers.get(request)

    def _remember(self, request: str, uri: str) -> None:
        with self._lock:
            self._servers[request] = uri
            while len(self._servers) > REQUESTS_MAX:
                self._servers.popitem(last=False)


def _sendings(contracts: Contracts, escrow: InferenceEscrow, quote: Quote, offer: Offer) -> list[Sending]:
    """An approval and a deposit of what is missing, where something is, and the opening."""
    token, found = contracts.token, []
    missing = quote.most - escrow.deposit_of(quote.payer)
    if missing > 0:
        held = token.balance_of(quote.payer)
        if held < missing:
            raise FundsError(
                f"{quote.payer} holds {format_units(held)}, but {format_units(missing)} more must be deposited.",
                "Get NEURO first, or ask for fewer tokens.",
            )
        words = format_units(missing)
        if token.allowance(quote.payer, escrow.address) < missing:
            data = token.calldata("approve", escrow.address, missing)
            found.append(Sending(purpose=f"Let the escrow take {words}", to=token.address, data=data))
        found.append(Sending(purpose=f"Deposit {words}", to=escrow.address, data=escrow.calldata("deposit", missing)))
    salt = secrets.token_bytes(32)
    data = escrow.calldata("open", quote.to_tuple(), salt, unhex(offer.signature))
    found.append(Sending(purpose=f"Lock {format_units(quote.most)}", to=escrow.address, data=data))
    return found
