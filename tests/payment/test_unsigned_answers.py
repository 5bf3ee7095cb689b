"""Servers that will not stand by what they streamed get no voucher for the last tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from economics.constants import VOUCHER_TOKENS
from node.inference.paid.errors import AnswerError
from node.inference.paid.journal import Journal
from node.inference.paid.messages import Signed
from node.inference.paid.signing import SKEW_SECONDS, AnswerSigner
from node.storage.store import Store
from tests.payment.trials import TOKENS, Trials

Sign = Callable[[AnswerSigner, Any, Sequence[int], Sequence[int]], Signed | None]
_honest = AnswerSigner.sign


def _changed(**fields: object) -> Sign:
    """The right claim's signature, with another field beside it."""

    def sign(signer: AnswerSigner, admitted: Any, prompt: Sequence[int], tokens: Sequence[int]) -> Signed | None:
        signed = _honest(signer, admitted, prompt, tokens)
        return None if signed is None else signed.model_copy(update=fields)

    return sign


def _late(seconds: int) -> Sign:
    def sign(signer: AnswerSigner, admitted: Any, prompt: Sequence[int], tokens: Sequence[int]) -> Signed | None:
        signed = _honest(signer, admitted, prompt, tokens)
        return None if signed is None else signed.model_copy(update={"signed_at": signed.signed_at + seconds})

    return sign


LIES: dict[str, tuple[Sign, str]] = {
    "nothing": (lambda *_: None, "does not sign"),
    "another token": (lambda me, a, p, t: _honest(me, a, p, [*t[:-1], t[-1] ^ 1]), "another answer"),
    "fewer tokens": (lambda me, a, p, t: _honest(me, a, p, t[:-1]), "another answer"),
    "another prompt": (lambda me, a, p, t: _honest(me, a, [*p[:-1], p[-1] ^ 1], t), "another answer"),
    "another state": (_changed(velocity_root="0x" + "07" * 32), "another answer"),
    "by nobody": (_changed(signature="0x" + "11" * 64 + "1b"), "another answer"),
    "another second": (_late(1), "another answer"),
    "long ago": (_late(-SKEW_SECONDS - 60), "off the time"),
    "in a year": (_late(365 * 86_400), "off the time"),
}


@pytest.fixture
def store(trials: Trials) -> Iterator[Store]:
    """The server's database."""
    with Store.open(trials.homes[1]) as store:
        yield store


@pytest.mark.parametrize("lie", LIES)
def test_no_last_voucher_without_the_right_signature(
    trials: Trials, store: Store, monkeypatch: pytest.MonkeyPatch, lie: str
) -> None:
    sign, reason = LIES[lie]
    monkeypatch.setattr(AnswerSigner, "sign", sign)
    with trials.serving(store) as uri:
        record = trials.opened(uri)
        with pytest.raises(AnswerError, match=reason):
            "".join(trials.payer().answer(record))
        trials.market.await_over(record)
    paid = trials.market.escrow(0).request_of(record.id).tokens
    assert (paid, record.signed) == (8, None)
    assert TOKENS - paid <= VOUCHER_TOKENS
    assert Journal(trials.homes[0]).load(record.request).tokens == paid


def test_an_answer_of_a_cut_distribution_is_not_signed_and_paid_all_the_same(trials: Trials, store: Store) -> None:
    with trials.serving(store) as uri:
        record = trials.opened(uri, top_p=9_000)
        "".join(trials.payer().answer(record))
        trials.market.await_over(record)
    assert record.signed is None
    assert record.tokens == len(record.ids) == TOKENS
    assert store.drop_answers(0) == set()
