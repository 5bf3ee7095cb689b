"""The model itself behind a paid answer: recomputed by its payer, and a lie about one token found out."""

from __future__ import annotations

from typing import Any

import pytest

from node.inference.model import Model
from node.inference.paid.journal import Record
from node.inference.paid.messages import Asked
from node.inference.paid.verify import verify_with
from node.inference.service import InferenceService
from tests.payment.conftest import TERMS, Market
from tests.payment.trials import Lying

TOKENS = 24


def answered(market: Market, answerer: Any, temperature: int) -> Record:
    """A paid answer over real sockets, settled."""
    payer = market.payer()
    asked: Asked = payer.question("It was the best of times", TOKENS, temperature, 9_000)
    with market.local_server(answerer=answerer) as uri:
        record = payer.accept(uri, asked, payer.ask(uri, asked), TERMS)
        payer.open(record)
        "".join(payer.answer(record))
        market.await_over(record)
    return record


@pytest.mark.parametrize("temperature", [0, 1_500])
def test_a_paid_answer_of_the_model_is_recomputed(
    market: Market, service: InferenceService, model: Model, temperature: int
) -> None:
    record = answered(market, service, temperature)
    verdict = verify_with(model, record)
    assert verdict.matches, verdict.words
    assert market.escrow(0).request_of(record.id).tokens == len(record.ids)


def test_wrong_inference_is_found_by_recomputing(market: Market, service: InferenceService, model: Model) -> None:
    record = answered(market, Lying(service, 9), 700)
    verdict = verify_with(model, record)
    assert verdict.matches is False
    assert "token 9" in verdict.words


def test_another_model_is_not_taken_for_the_served_one(market: Market, service: InferenceService, model: Model) -> None:
    record = answered(market, service, 0)
    bent = record.model_copy(deep=True)
    bent.offer = record.offer.model_copy(
        update={"served": record.offer.served.model_copy(update={"model_root": "0x" + "00" * 32})}
    )
    assert verify_with(model, bent).matches is None
    bent.offer = record.offer.model_copy(update={"prompt_ids": [1, 2, 3]})
    assert verify_with(model, bent).matches is False
