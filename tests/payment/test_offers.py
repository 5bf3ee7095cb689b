"""What a payer refuses before any money moves: tampered, foreign, expired and dishonest quotes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from economics.units import neuro
from node.chain.escrow import EscrowDomain, Payee, Quote
from node.errors import RevertError
from node.inference.paid.desk import QUOTE_SECONDS, Desk
from node.inference.paid.errors import OfferError, RefusalError, RequestFileError
from node.inference.paid.messages import Asked, Begin, Offer, QuoteMessage
from node.inference.paid.terms import VALID_SECONDS_MAX, Terms, check_offer
from tests.payment.conftest import TERMS, Accounts, Market
from tests.payment.scripted import MODEL, ScriptedAnswerer


@pytest.fixture
def desk(market: Market) -> Desk:
    return Desk(ScriptedAnswerer(), market.contracts(2), market.escrow(2))


@pytest.fixture
def asked(market: Market) -> Asked:
    return market.payer().question("How much?", 16, 700, 9_500)


def check(market: Market, asked: Asked, offer: Offer, terms: Terms = TERMS) -> Quote:
    payer = market.payer()
    return check_offer(payer.contracts, payer.escrow, asked, offer, terms)


def signed(market: Market, offer: Offer, domain: EscrowDomain | None = None, index: int = 2, **change: Any) -> Offer:
    """The offer with another quote, signed again by account `index`, which a lying server can do."""
    quote = replace(offer.quote.quote(), **change)
    signature = (domain or market.escrow(2).domain).sign_quote(market.contracts(index).client, quote)
    return offer.model_copy(update={"quote": QuoteMessage.of(quote), "signature": "0x" + signature.hex()})


def test_an_honest_offer_is_accepted(market: Market, desk: Desk, asked: Asked) -> None:
    offer = desk.offer(asked)
    quote = check(market, asked, Offer.model_validate_json(offer.model_dump_json()))
    assert quote.server == market.network.accounts[2].address
    assert quote.most == 16 * quote.price <= TERMS.max_fee


def test_a_fee_above_the_limit_is_refused(market: Market, desk: Desk, asked: Asked) -> None:
    offer = desk.offer(asked)
    most = offer.quote.quote().most
    check(market, asked, offer, Terms(most))
    with pytest.raises(OfferError, match="more than"):
        check(market, asked, offer, Terms(most - 1))


def test_a_quote_by_another_server_than_announced_is_refused(market: Market, desk: Desk, asked: Asked) -> None:
    with pytest.raises(OfferError, match="and not by"):
        check(market, asked, desk.offer(asked), Terms(TERMS.max_fee, market.network.accounts[3].address))


@pytest.mark.parametrize(
    "change",
    [
        {"price": 1},
        {"max_tokens": 17},
        {"valid_until": 2**40},
        {"task": bytes(32)},
        {"server": "0x" + "00" * 20},
    ],
    ids=lambda change: next(iter(change)),
)
def test_quote_tampering_breaks_the_signature(
    market: Market, desk: Desk, asked: Asked, change: dict[str, object]
) -> None:
    offer = desk.offer(asked)
    bent = QuoteMessage.of(replace(offer.quote.quote(), **change))  # type: ignore[arg-type]
    with pytest.raises(OfferError, match="not signed"):
        check(market, asked, offer.model_copy(update={"quote": bent}))


def test_a_quote_of_another_chain_or_escrow_is_refused(market: Market, desk: Desk, asked: Asked) -> None:
    offer, own = desk.offer(asked), market.escrow(2).domain
    with pytest.raises(OfferError, match="another network"):
        check(market, asked, offer.model_copy(update={"chain_id": 1}))
    with pytest.raises(OfferError, match="another network"):
        check(market, asked, offer.model_copy(update={"escrow": market.network.accounts[3].address}))
    for foreign in (replace(own, chain_id=1), replace(own, address=market.network.accounts[3].address)):
        bent = signed(market, offer, foreign)
        with pytest.raises(OfferError, match="not signed"):
            check(market, asked, bent)
        payer = market.payer()
        payer.escrow.deposit_with_permit(payer.contracts.token, neuro(1))
        with pytest.raises(RevertError):
            payer.escrow.open(bent.quote.quote(), bytes(32), bytes.fromhex(bent.signature[2:]))


LIES: dict[str, tuple[Callable[[Market, Offer], Offer], str]] = {
    "payer": (lambda m, o: signed(m, o, payer=m.network.accounts[3].address), "another payer"),
    "signer": (lambda m, o: signed(m, o, signer=m.network.accounts[2].address), "another payer"),
    "tokens": (lambda m, o: signed(m, o, max_tokens=4096), "another payer"),
    "task": (lambda m, o: signed(m, o, task=b"\x07" * 32), "another question"),
    "prompt": (lambda m, o: o.model_copy(update={"prompt_ids": [1, 2, 3]}), "another prompt"),
    "vocabulary": (
        lambda m, o: o.model_copy(update={"served": o.served.model_copy(update={"vocabulary": 1})}),
        "another question",
    ),
    "model": (
        lambda m, o: o.model_copy(update={"served": o.served.model_copy(update={"model_root": "0x" + "00" * 32})}),
        "another question",
    ),
    "forever": (lambda m, o: signed(m, o, valid_until=o.quote.validUntil + VALID_SECONDS_MAX), "claims to be valid"),
    "price": (lambda m, o: signed(m, o, price=10**9 + int(o.quote.price)), "where the rule gives"),
    "layers": (lambda m, o: signed(m, o, payees=(Payee(o.quote.server, 5),)), "5 layers"),
    "payee twice": (lambda m, o: signed(m, o, payees=(Payee(o.quote.server, 2),) * 2), "a payee twice"),
    "reputation": (
        lambda m, o: o.model_copy(update={"price": o.price.model_copy(update={"finals": 100})}),
        "the chain counts 0",
    ),
    "busier than full": (
        lambda m, o: o.model_copy(update={"price": o.price.model_copy(update={"busy": 9})}),
        "more work than",
    ),
}


@pytest.mark.parametrize("lie", list(LIES))
def test_a_lying_offer_is_refused(market: Market, desk: Desk, asked: Asked, lie: str) -> None:
    bend, reason = LIES[lie]
    with pytest.raises(OfferError, match=reason):
        check(market, asked, bend(market, desk.offer(asked)))


def test_an_expired_quote_is_refused_by_the_payer_and_by_the_chain(market: Market, desk: Desk, asked: Asked) -> None:
    offer, payer = desk.offer(asked), market.payer()
    payer.escrow.deposit_with_permit(payer.contracts.token, neuro(1))
    market.network.advance(QUOTE_SECONDS + 1)
    with pytest.raises(OfferError, match="valid until"):
        check(market, asked, offer)
    before = Accounts.of(market)
    with pytest.raises(RevertError, match="valid until"):
        payer.escrow.open(offer.quote.quote(), bytes(32), bytes.fromhex(offer.signature[2:]))
    assert Accounts.of(market) == before


def begin_of(market: Market, offer: Offer, asked: Asked, block: int, signer: int = 1) -> tuple[bytes, Begin]:
    domain = market.escrow(1).domain
    request = domain.quote_hash(offer.quote.quote())
    voucher = "0x" + domain.sign_voucher(market.contracts(signer).client, request, 0).hex()
    return request, Begin(asked=asked, quote=offer.quote, signature=offer.signature, voucher=voucher, block=block)


def test_the_server_admits_only_what_its_own_payer_opened(market: Market, desk: Desk, asked: Asked) -> None:
    payer = market.payer()
    offer = desk.offer(asked)
    record = payer.accept("http://server", asked, offer, TERMS)
    request, begin = begin_of(market, offer, asked, 0)
    with pytest.raises(RefusalError, match="not open"):
        desk.admit(request, begin)
    payer.open(record)
    request, begin = begin_of(market, offer, asked, record.block)
    admitted = desk.admit(request, begin)
    assert "0x" + admitted.seed.hex() == record.seed
    assert list(desk.prompt_of(admitted)) == offer.prompt_ids
    wrong = {
        "not open": begin.model_copy(update={"block": record.block - 1}),
        "not signed": begin.model_copy(update={"signature": begin.voucher}),
        "number of tokens": begin.model_copy(update={"asked": asked.model_copy(update={"max_tokens": 400})}),
        "another payer": begin_of(market, offer, asked, record.block, signer=3)[1],
    }
    for reason, bent in wrong.items():
        with pytest.raises(RefusalError, match=reason):
            desk.admit(request, bent)
    with pytest.raises(RefusalError, match="id"):
        desk.admit(bytes(32), begin)


def test_the_server_answers_nothing_else_than_it_quoted(market: Market, asked: Asked) -> None:
    answerer = ScriptedAnswerer()
    desk = Desk(answerer, market.contracts(2), market.escrow(2))
    offer, payer = desk.offer(asked), market.payer()
    record = payer.accept("http://server", asked, offer, TERMS)
    payer.open(record)
    other = asked.model_copy(update={"prompt": "Something longer"})
    request, begin = begin_of(market, offer, other, record.block)
    with pytest.raises(RefusalError, match="Something else was quoted"):
        desk.prompt_of(desk.admit(request, begin))
    answerer.model = replace(MODEL, model_root=b"\x0b" * 32)
    request, begin = begin_of(market, offer, asked, record.block)
    with pytest.raises(RefusalError, match="model has changed"):
        desk.prompt_of(desk.admit(request, begin))


def test_the_same_question_twice_in_a_second_makes_two_requests(market: Market, desk: Desk, asked: Asked) -> None:
    payer, offers = market.payer(), [desk.offer(asked) for _ in range(3)]
    records = [payer.accept("http://server", asked, offer, TERMS) for offer in offers]
    assert len({record.request for record in records}) == 3
    for record in records:
        payer.open(record)
    with pytest.raises(RequestFileError, match="before"):
        payer.accept("http://server", asked, offers[0], TERMS)
    assert payer.journal.load(records[0].request) == records[0], "the record of the open one stands"


def test_a_prompt_beyond_the_model_is_refused(market: Market, desk: Desk) -> None:
    with pytest.raises(RefusalError, match="do not fit"):
        desk.offer(market.payer().question("x" * 500, 16, 0, 10_000))
