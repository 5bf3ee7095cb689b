"""What a server signs about an answer before it gets the last voucher, and how a payer checks it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from consensus.inference.task import TOP_P_ALL
from consensus.model.config import ModelConfig
from consensus.program.suite import answer_suite
from economics.constants import MAX_DEMANDS
from node.chain.contracts import Contracts
from node.inference.model import Model
from node.inference.paid.desk import Admitted
from node.inference.paid.errors import AnswerError
from node.inference.paid.exhibit import Exhibit, ExhibitError, exhibit_of
from node.inference.paid.journal import Journal, Record
from node.inference.paid.messages import Asked, Signed, unhex
from node.inference.paid.weights import KeptWeights
from node.storage.store import Store
from node.storage.tables import SignedAnswer

SKEW_SECONDS = 120
"""A signature may be so much older or newer than the payer's newest block: an old one could not be accused for long,
one from the future not at all."""
_UNSIGNED = "0x" + "00" * 65
_RESUME = "It gets no voucher for the last tokens; `ponw infer --resume` takes back what was not served."


def disputable(asked: Asked) -> bool:
    """Whether the court can judge an answer to this: drawn from all ids."""
    return asked.top_p_bps == TOP_P_ALL


class AnswerSigner:
    """Signs the answers of one model with the account of the contracts. Threads may share it."""

    def __init__(self, contracts: Contracts, store: Store, model: Model) -> None:
        self._contracts, self._store, self._model = contracts, store, model

    def prepare(self, weights: KeptWeights, journal: Journal) -> None:
        """Forget answers whose time is over, keep the weights of the others and of those that this home paid for, and
        capture the program of one token.

        Raises:
            DiskError, DatabaseError, RpcError, RequestFileError.
        """
        now = self._contracts.client.block().timestamp
        weights.keep(self._model.root, self._model.weights)
        given = self._store.drop_answers(now - self._longest)
        bought = {unhex(record.offer.served.model_root) for record in journal.all() if record.signed is not None}
        weights.drop_except(given | bought | {self._model.root})
        answer_suite(self._model.config)

    def sign(self, admitted: Admitted, prompt: Sequence[int], tokens: Sequence[int]) -> Signed | None:
        """The signature of an answer, on record before it is returned; None where there is nothing to dispute.

        Raises:
            ExhibitError: no claim can be made of it. DatabaseError, RpcError.
        """
        if not tokens or not disputable(admitted.asked):
            return None
        exhibit = self._exhibit(admitted, prompt, tokens)
        claim, domain = exhibit.claim(), self._contracts.court.domain
        signature = "0x" + domain.sign(self._contracts.client, claim).hex()
        signed = exhibit.signed.model_copy(update={"signature": signature})
        body = exhibit.model_copy(update={"signed": signed}).model_dump_json()
        root, at = self._model.root, signed.signed_at
        name, request = domain.hash(claim), admitted.request
        kept = SignedAnswer(claim_hash=name, request=request, signed_at=at, weights_root=root, body=body)
        self._store.keep_answer(kept, at - self._longest)
        return signed

    @cached_property
    def _longest(self) -> int:
        return longest_dispute(self._contracts)

    def _exhibit(self, admitted: Admitted, prompt: Sequence[int], tokens: Sequence[int]) -> Exhibit:
        now, velocity = self._contracts.client.block().timestamp, self._model.velocity_root
        return Exhibit(
            config=self._model.config,
            request="0x" + admitted.request.hex(),
            server=self._contracts.client.address,
            weights_root="0x" + self._model.root.hex(),
            prompt=list(prompt),
            temperature_milli=admitted.asked.temperature_milli,
            top_p_bps=admitted.asked.top_p_bps,
            seed="0x" + admitted.seed.hex(),
            tokens=list(tokens),
            signed=Signed(signed_at=now, velocity_root="0x" + velocity.hex(), signature=_UNSIGNED),
        )


@dataclass(frozen=True, slots=True)
class AnswerChecker:
    """The payer's side. `config_of`: the model's shape in a version of the vocabulary; it raises PonwError where the
    version is not known."""

    contracts: Contracts
    config_of: Callable[[int], ModelConfig]

    def check(self, record: Record, signed: Signed | None) -> None:
        """Put the signature into the record if it is the server's, of exactly what it sent, and made now.

        Raises:
            AnswerError: it is not; the server deserves no more vouchers. RpcError.
        """
        if not record.ids or not disputable(record.asked):
            return
        if signed is None:
            raise AnswerError("The server does not sign its answer.", _RESUME)
        now = self.contracts.client.block().timestamp
        if abs(signed.signed_at - now) > SKEW_SECONDS:
            raise AnswerError(f"The server signs its answer {abs(signed.signed_at - now)} s off the time.", _RESUME)
        record.config, record.signed = self.config_of(record.offer.served.vocabulary), signed
        try:
            exhibit_of(record).require_signed(self.contracts.court.domain)
        except ExhibitError as error:
            record.config = record.signed = None
            raise AnswerError(error.message, f"{error.hint} {_RESUME}".strip()) from error


def longest_dispute(contracts: Contracts) -> int:
    """Seconds from a signature to the end of the last dispute about it, see NetworkParameters.longest_game."""
    terms, extension = contracts.court.terms(), contracts.court_judge.extension()
    return terms.window + 2 * (3 * terms.response + 2 * (MAX_DEMANDS + 1) * extension)
