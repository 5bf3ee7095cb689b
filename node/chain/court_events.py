"""Events of the court of answers, see `node.chain.events`."""

from __future__ import annotations

from dataclasses import dataclass

from consensus.commitments.claim import Claim
from node.chain.event import Event


@dataclass(frozen=True)
class Accused(Event):
    """A challenger says that token `step` of a server's answer is wrong; the server answers until `deadline`."""

    claim_hash: bytes
    server: str
    challenger: str
    claim: Claim
    step: int
    deadline: int


@dataclass(frozen=True)
class AccusationAnswered(Event):
    """The server opened the token; the court's judge has the game."""

    claim_hash: bytes
    server: str
    challenger: str
    step: int
    batch: bytes
    token: int
    trace: bytes


@dataclass(frozen=True)
class AccusationFailed(Event):
    """The answer stands against this accusation."""

    claim_hash: bytes
    server: str
    challenger: str


@dataclass(frozen=True)
class AnswerLost(Event):
    """The answer is wrong, or its server silent."""

    claim_hash: bytes
    server: str
    challenger: str
    step: int


@dataclass(frozen=True)
class AccusationReleased(Event):
    """An accuser's bond is free again: the answer was lost to somebody else."""

    claim_hash: bytes
    challenger: str


KINDS = (Accused, AccusationAnswered, AccusationFailed, AnswerLost, AccusationReleased)
