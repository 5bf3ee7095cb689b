"""A signed answer with everything that it follows from: what a server keeps, and what a payer makes of its record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from eth_utils.address import to_canonical_address
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from consensus.commitments import tree
from consensus.commitments.claim import Claim
from consensus.dispute.answers import Answer
from consensus.errors import ConsensusError
from consensus.inference.sampling import Settings
from consensus.model.config import ModelConfig
from node.chain.court import CourtDomain
from node.errors import PeerError
from node.inference.paid.journal import Journal, Record
from node.inference.paid.messages import (
    ANSWER_TOKENS,
    PROMPT_TOKENS,
    TEMPERATURE_MAX,
    Address,
    Hash,
    Id,
    Signed,
    unhex,
)
from node.storage.store import Store


class ExhibitError(PeerError):
    """A signed answer that is not on record, or that no claim can be made of."""


class Exhibit(BaseModel):
    """One answer by `server`. `weights_root` is the model's root as the quote names it, `seed` that of the draws."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    config: ModelConfig
    request: Hash
    server: Address
    weights_root: Hash
    prompt: Annotated[list[Id], Field(min_length=1, max_length=PROMPT_TOKENS)]
    temperature_milli: Annotated[int, Field(ge=0, le=TEMPERATURE_MAX)]
    top_p_bps: int
    seed: Hash
    tokens: Annotated[list[Id], Field(min_length=1, max_length=ANSWER_TOKENS)]
    signed: Signed

    def answer(self) -> Answer:
        """What consensus judges.

        Raises:
            ExhibitError: prompt and answer do not fit the model, or the answer was not drawn from all ids.
        """
        roots = unhex(self.weights_root), unhex(self.signed.velocity_root)
        start = tree.root([tree.leaf_hash(root) for root in roots])
        asked = unhex(self.request), tuple(self.prompt)
        try:
            settings = Settings(self.temperature_milli, self.top_p_bps, unhex(self.seed))
            return Answer(self.config, start, *asked, settings, tuple(self.tokens))
        except ConsensusError as error:
            raise ExhibitError(f"No claim can be made of the answer: {error.message}.", error.hint) from error

    def claim(self) -> Claim:
        """The claim that the server signed. Captures the program of one token, seconds the first time."""
        return self.answer().claim(to_canonical_address(self.server), self.signed.signed_at)

    def require_signed(self, domain: CourtDomain) -> Claim:
        """The claim, if it carries its server's signature.

        Raises:
            ExhibitError: another claim than this one is signed, or by somebody else.
        """
        claim = self.claim()
        if not domain.is_signed(claim, unhex(self.signed.signature)):
            raise ExhibitError(
                "The server signed another answer than the one that it sent.", "Check that `preset` is the network's."
            )
        return claim


def exhibit_of(record: Record) -> Exhibit:
    """What a payer's record shows.

    Raises:
        ExhibitError: the server signed nothing.
    """
    if record.signed is None or record.config is None or record.seed is None or not record.ids:
        raise ExhibitError("The server signed no answer to this request.", "Nothing can be disputed.")
    return _exhibit(record, record.config, record.seed, record.signed)


def _exhibit(record: Record, config: ModelConfig, seed: str, signed: Signed) -> Exhibit:
    return Exhibit(
        config=config,
        request=record.request,
        server=record.quote.server,
        weights_root=record.offer.served.model_root,
        prompt=record.offer.prompt_ids,
        temperature_milli=record.asked.temperature_milli,
        top_p_bps=record.asked.top_p_bps,
        seed=seed,
        tokens=record.ids,
        signed=signed,
    )


def read_exhibit(body: str) -> Exhibit:
    """An exhibit from the database. Raises ExhibitError where it is damaged."""
    try:
        return Exhibit.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        raise ExhibitError(
            f"A signed answer on record is damaged at {first['loc']}.", "Restore the database."
        ) from error


@dataclass(frozen=True, slots=True)
class Records:
    """The signed answers of a home: those that its server gave, if it has a database, and those that it paid for."""

    domain: CourtDomain
    store: Store | None
    journal: Journal

    def find(self, claim: Claim) -> Exhibit | None:
        """The answer that a claim is about.

        Raises:
            ExhibitError, RequestFileError: a record is damaged. DatabaseError, DiskError.
        """
        name = self.domain.hash(claim)
        kept = None if self.store is None else self.store.signed_answer(name)
        if kept is not None:
            return read_exhibit(kept.body)
        record = self.journal.find(claim.end_root)
        if record is None or record.signed is None:
            return None
        exhibit = exhibit_of(record)
        return exhibit if self.domain.hash(exhibit.claim()) == name else None
