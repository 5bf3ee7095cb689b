"""The server's desk: makes quotes, and admits the requests that they opened on chain.

A quote costs the server nothing to remember: its payer hands it back, and the server knows its own signature.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from eth_utils.address import to_checksum_address

from consensus.inference.task import Task, prompt_root
from economics.pricing import Pricing, token_price
from node.chain.contracts import Contracts
from node.chain.escrow import InferenceEscrow, Payee, Quote, QuoteError, RequestState
from node.inference.paid.errors import RefusalError
from node.inference.paid.messages import Asked, Begin, Offer, PriceMessage, QuoteMessage, Served, unhex
from node.inference.paid.seam import Answerer, Draw, ServedModel

QUOTE_SECONDS = 120
"""How long a quote can be opened."""
REMEMBERED = 4_096
"""Questions whose newest quote is remembered."""


@dataclass(frozen=True, slots=True)
class Holders:
    """Who is paid for the embedding, the head and the layers; None stands for the server itself, holding all."""

    embedding: str
    head: str
    payees: tuple[Payee, ...]


@dataclass(frozen=True, slots=True)
class Admitted:
    """A request that is open on chain and that this server quoted."""

    request: bytes
    quote: Quote
    asked: Asked
    seed: bytes

    @property
    def draw(self) -> Draw:
        """How its tokens are drawn."""
        return Draw(self.asked.temperature_milli, self.asked.top_p_bps, self.seed)


class Desk:
    """One server's quotes. Threads may share it."""

    def __init__(
        self,
        answerer: Answerer,
        contracts: Contracts,
        escrow: InferenceEscrow,
        holders: Holders | None = None,
    ) -> None:
        self.answerer, self.escrow = answerer, escrow
        self._contracts, self._holders = contracts, holders
        self._address = contracts.client.address
        self._issued: OrderedDict[tuple[object, ...], int] = OrderedDict()
        self._lock = threading.Lock()

    def price(self) -> PriceMessage:
        """What a token costs now, and why."""
        waiting, slots = self.answerer.load()
        busy = min(waiting, slots)
        finals = self._contracts.registry.record_of(self._address).finals
        pricing = Pricing(busy, slots, self.answerer.served().tier, finals)
        return PriceMessage(price=str(token_price(pricing)), busy=busy, slots=slots, tier=pricing.tier, finals=finals)

    def offer(self, asked: Asked) -> Offer:
        """A signed quote for what is asked.

        Raises:
            RefusalError: prompt and answer do not fit the model. RpcError: the chain does not answer.
        """
        served = self.answerer.served()
        prompt = self._prompt(asked, served)
        price = self.price()
        quote = self._quote(asked, int(price.price), task_of(asked, served, prompt).hash(), served.layers)
        return Offer(
            chain_id=self.escrow.domain.chain_id,
            escrow=self.escrow.address,
            quote=QuoteMessage.of(quote),
            signature="0x" + self.escrow.domain.sign_quote(self._contracts.client, quote).hex(),
            served=served_message(served),
            prompt_ids=prompt,
            price=price,
        )

    def admit(self, request: bytes, begin: Begin) -> Admitted:
        """Check that `request` is a quote of this server's, that it is about what the payer now asks, and that it is
        open on chain.

        Raises:
            RefusalError: it is not; in one sentence. RpcError: the chain does not answer.
        """
        try:
            quote = begin.quote.quote()
        except QuoteError as error:
            raise RefusalError(error.message) from error
        domain = self.escrow.domain
        if domain.quote_hash(quote) != request:
            raise RefusalError("The request's id is not that of the quote.")
        mine = quote.server == self._address
        if not mine or not domain.quote_is_signed(quote, unhex(begin.signature)):
            raise RefusalError("The quote is not signed by this server.")
        if not domain.voucher_is_signed(quote, request, 0, unhex(begin.voucher)):
            raise RefusalError("The request belongs to another payer.")
        if begin.asked.max_tokens != quote.max_tokens:
            raise RefusalError("The quote is for another number of tokens.")
        opened = self.escrow.opened_in(request, begin.block)
        if opened is None or self.escrow.request_of(request).state is not RequestState.OPEN:
            raise RefusalError("The request is not open on chain.")
        return Admitted(request, quote, begin.asked, opened.seed)

    def prompt_of(self, admitted: Admitted) -> Sequence[int]:
        """The prompt's ids, if the model that was quoted is still the one that answers and this was asked of it.

        Raises:
            RefusalError: another model is served now, or something else is asked than was quoted.
        """
        served = self.answerer.served()
        prompt = self._prompt(admitted.asked, served)
        if task_of(admitted.asked, served, prompt).hash() != admitted.quote.task:
            raise RefusalError("Something else was quoted: the model has changed since, or the question has.")
        return prompt

    def _prompt(self, asked: Asked, served: ServedModel) -> list[int]:
        prompt = self.answerer.encode(asked.prompt)
        if len(prompt) + asked.max_tokens > served.context:
            raise RefusalError(
                f"A prompt of {len(prompt)} tokens and an answer of {asked.max_tokens} do not fit the model's "
                f"{served.context}."
            )
        return prompt

    def _quote(self, asked: Asked, price: int, task: bytes, layers: int) -> Quote:
        own = self._address
        holders = self._holders or Holders(own, own, (Payee(own, layers),))
        until = self._contracts.client.block().timestamp + QUOTE_SECONDS
        return Quote(
            payer=to_checksum_address(asked.payer),
            signer=to_checksum_address(asked.signer),
            server=own,
            price=price,
            max_tokens=asked.max_tokens,
            valid_until=self._fresh((asked.payer, asked.signer, price, asked.max_tokens, task), until),
            task=task,
            embedding=holders.embedding,
            head=holders.head,
            payees=holders.payees,
        )

    def _fresh(self, question: tuple[object, ...], until: int) -> int:
        """`until`, or the first second after it that makes another quote of the same question another request."""
        with self._lock:
            until = max(until, self._issued.pop(question, 0) + 1)
            self._issued[question] = until
            if len(self._issued) > REMEMBERED:
                self._issued.popitem(last=False)
        return until


def task_of(asked: Asked, served: ServedModel | Served, prompt: Sequence[int]) -> Task:
    """The task that a quote for `asked` commits to."""
    root = unhex(served.model_root) if isinstance(served, Served) else served.model_root
    return Task(
        model_root=root,
        vocabulary=served.vocabulary,
        program=served.program,
        prompt_root=prompt_root(prompt),
        prompt_length=len(prompt),
        temperature_milli=asked.temperature_milli,
        top_p_bps=asked.top_p_bps,
        stop_at_eos=served.stop_at_eos,
    )


def served_message(served: ServedModel) -> Served:
    """The served model as it is told to payers."""
    return Served(
        model_root="0x" + served.model_root.hex(),
        vocabulary=served.vocabulary,
        program=served.program,
        stop_at_eos=served.stop_at_eos,
    )
