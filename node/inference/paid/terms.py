"""What a payer checks before it locks money behind an offer: everything that can be checked without trust."""

from __future__ import annotations

from dataclasses import dataclass

from consensus.errors import CommitmentError
from economics.constants import REPUTATION_FULL
from economics.pricing import Pricing, token_price
from node.chain.contracts import Contracts
from node.chain.escrow import InferenceEscrow, Quote, QuoteError
from node.chain.units import format_time, format_units
from node.inference.paid.desk import task_of
from node.inference.paid.errors import OfferError
from node.inference.paid.messages import Asked, Offer, unhex
from node.inference.paid.prompts import Encode, byte_ids

VALID_SECONDS_MAX = 3_600
"""A quote that can be opened for longer than this binds a price nobody can know today."""
_HINT = "Nothing was paid; use another server."


@dataclass(frozen=True, slots=True)
class Terms:
    """What the payer accepts: the most in wei for the whole answer, and who is to answer (None: whoever signs);
    `encode` gives the prompt's tokens, as far as the vocabulary is known here."""

    max_fee: int
    server: str | None = None
    encode: Encode = byte_ids


def check_offer(contracts: Contracts, escrow: InferenceEscrow, asked: Asked, offer: Offer, terms: Terms) -> Quote:
    """The offer's quote, if it is what was asked for and within the terms.

    Raises:
        OfferError: it is not; says which field. RpcError: the chain does not answer.
    """
    quote = _signed(escrow, offer)
    _same_question(asked, offer, quote, terms.encode)
    _in_time(contracts, quote)
    if terms.server is not None and quote.server != terms.server:
        raise OfferError(f"The quote is by {quote.server} and not by {terms.server}.", _HINT)
    _payees(quote, contracts.vocabulary.depth()[0])
    _price(contracts, offer, quote)
    if quote.most > terms.max_fee:
        raise OfferError(
            f"The answer may cost {format_units(quote.most)} ({quote.max_tokens} tokens), more than "
            f"{format_units(terms.max_fee)}.",
            "Raise --max-fee, or lower --max-tokens.",
        )
    return quote


def _signed(escrow: InferenceEscrow, offer: Offer) -> Quote:
    if offer.chain_id != escrow.domain.chain_id or offer.escrow != escrow.address:
        raise OfferError(f"The server is paid on chain {offer.chain_id} at {offer.escrow}: another network.", _HINT)
    try:
        quote = offer.quote.quote()
    except QuoteError as error:
        raise OfferError(error.message, _HINT) from error
    if not escrow.domain.quote_is_signed(quote, unhex(offer.signature)):
        raise OfferError("The quote is not signed by the server that it names.", _HINT)
    return quote


def _same_question(asked: Asked, offer: Offer, quote: Quote, encode: Encode) -> None:
    if (quote.payer, quote.signer, quote.max_tokens) != (asked.payer, asked.signer, asked.max_tokens):
        raise OfferError("The quote is for another payer, signer or number of tokens.", _HINT)
    prompt = encode(asked.prompt, offer.served.vocabulary)
    if prompt is not None and list(prompt) != offer.prompt_ids:
        raise OfferError("The server reads another prompt than was asked.", _HINT)
    try:
        task = task_of(asked, offer.served, offer.prompt_ids)
    except CommitmentError as error:
        raise OfferError(f"The quote is for no task: {error.message}.", _HINT) from error
    if task.hash() != quote.task:
        raise OfferError("The quote is for another question, model or way of drawing.", _HINT)


def _in_time(contracts: Contracts, quote: Quote) -> None:
    now = contracts.client.block().timestamp
    if quote.valid_until < now:
        raise OfferError(f"The quote was valid until {format_time(quote.valid_until)}.", "Ask again.")
    if quote.valid_until > now + VALID_SECONDS_MAX:
        raise OfferError(f"The quote claims to be valid until {format_time(quote.valid_until)}.", _HINT)


def _payees(quote: Quote, layers: int) -> None:
    accounts = [payee.account for payee in quote.payees]
    if len(set(accounts)) != len(accounts):
        raise OfferError("The quote names a payee twice.", _HINT)
    held = sum(payee.layers for payee in quote.payees)
    if held != layers:
        raise OfferError(f"The quote's payees hold {held} layers, but the model has {layers}.", _HINT)


def _price(contracts: Contracts, offer: Offer, quote: Quote) -> None:
    told = offer.price
    finals = contracts.registry.record_of(quote.server).finals
    if min(told.finals, REPUTATION_FULL) > min(finals, REPUTATION_FULL):
        raise OfferError(f"The server claims {told.finals} final claims, but the chain counts {finals}.", _HINT)
    if not told.busy <= told.slots:
        raise OfferError("The server claims more work than it has places for.", _HINT)
    ruled = token_price(Pricing(told.busy, told.slots, told.tier, told.finals))
    if quote.price != ruled or told.price != str(ruled):
        raise OfferError(f"The quote asks {quote.price} wei a token where the rule gives {ruled}.", _HINT)
