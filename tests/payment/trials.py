"""A small model that answers for money, honest or not, and both sides of a dispute about what it said."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from bench.arena import MICRO
from consensus.inference.decoding import Definition
from consensus.inference.task import TOP_P_ALL
from consensus.model.init import init_weights
from economics.units import neuro
from node.chain.contracts import Contracts
from node.chain.escrow import Payee
from node.dispute.accusing import Accuser
from node.dispute.court import Player
from node.inference.model import Model, model_of
from node.inference.paid.desk import Holders
from node.inference.paid.exhibit import Records, exhibit_of
from node.inference.paid.journal import Journal, Record
from node.inference.paid.payer import Payer
from node.inference.paid.seam import Draw, Piece
from node.inference.paid.signing import AnswerChecker, AnswerSigner
from node.inference.paid.weights import KeptWeights
from node.inference.service import InferenceService
from node.storage.store import Store
from tests.payment.conftest import TERMS, Market

TOKENS, WRONG = 10, 5
STAKE = neuro(1000)


class Lying:
    """A service whose token `wrong` is another one in every answer; everything else is passed on."""

    def __init__(self, inner: Any, wrong: int = WRONG) -> None:
        self._inner, self._wrong = inner, wrong

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def answer(self, prompt: Sequence[int], draw: Draw, max_tokens: int) -> Any:
        return Lying(self._inner.answer(prompt, draw, max_tokens), self._wrong)

    async def __aiter__(self) -> AsyncIterator[Piece]:
        index = 0
        async for piece in self._inner:
            yield Piece((piece.id + 1) % 256, "?") if index == self._wrong else piece
            index += 1


def small_model() -> Model:
    """A model of one layer that has something to say, with a velocity beside it."""
    weights = {name: w * 4.0 for name, w in init_weights(MICRO, b"trial").items()}
    weights["head"] = weights["embed"].flip(0).contiguous()  # a fresh model's is zero: every id alike
    velocity = {name: torch.full_like(w, 0.5) for name, w in weights.items()}
    return model_of(MICRO, weights, "a test", velocity=velocity)


@contextmanager
def small_service(model: Model) -> Iterator[InferenceService]:
    """It, ready to answer."""
    service = InferenceService(model, Definition(model.config, model.weights, 2))
    try:
        yield service
    finally:
        service.close(drain=False)


def holding_all(account: str) -> Holders:
    """One account that is paid for everything, of a network of four layers."""
    return Holders(account, account, (Payee(account, 4),))


def player_of(contracts: Contracts, home: Path, store: Store | None, first_block: int) -> Player:
    """Whoever plays from this home."""
    records = Records(contracts.court.domain, store, Journal(home))
    return Player(contracts, records.find, KeptWeights(home), first_block)


@dataclass(frozen=True)
class Trials:
    """A market with a server (account 2) and a payer (account 1) who both have stake, and the model of both."""

    market: Market
    model: Model

    @property
    def homes(self) -> tuple[Path, Path]:
        """Of the payer and of the server."""
        return self.market.home / "payer1", self.market.home / "server"

    @property
    def first(self) -> int:
        return self.market.network.deployment.block

    def payer(self) -> Payer:
        """One who takes no unsigned answer."""
        payer = self.market.payer()
        return replace(payer, check=AnswerChecker(payer.contracts, lambda _: self.model.config).check)

    def opened(self, uri: str, top_p: int = TOP_P_ALL) -> Record:
        """A request for TOKENS tokens, open on chain."""
        payer = self.payer()
        asked = payer.question("Once upon", TOKENS, 0, top_p)  # drawn at random, it might end before WRONG
        record = payer.accept(uri, asked, payer.ask(uri, asked), TERMS)
        payer.open(record)
        return record

    @contextmanager
    def serving(self, store: Store, answerer: Any = None) -> Iterator[str]:
        """The server in a thread of this process, signing all that `answerer` says: its address."""
        contracts = self.market.contracts(2)
        signer = AnswerSigner(contracts, store, self.model)
        signer.prepare(KeptWeights(self.homes[1]), Journal(self.homes[1]))
        with (
            small_service(self.model) as service,
            self.market.local_server(
                holding_all(contracts.client.address),
                Lying(service) if answerer is Lying else answerer or service,
                signer=signer,
                store=store,
            ) as uri,
        ):
            yield uri

    def stake_of(self, index: int) -> tuple[int, int, int]:
        """Active, locked, credit of an account."""
        contracts = self.market.contracts(index)
        account = contracts.staking.account_of(contracts.client.address)
        return account.active, account.locked, contracts.staking.credit_of(contracts.client.address)

    def accused(self, record: Record, step: int) -> Accuser:
        """The payer, once it has accused a token."""
        accuser = Accuser(self.market.contracts(1), exhibit_of(record))
        accuser.accuse(step)
        return accuser
