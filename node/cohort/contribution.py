"""A contribution: the header of an encoded update, its bounds, and what it must agree with."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from consensus.aggregation.compression import Codec, Int8, TopK, TwoBit, encoded_size
from consensus.errors import ConsensusError
from consensus.model.config import ModelConfig
from consensus.quorum.parts import Span, part_count
from consensus.training.outer import update_weight
from economics.cohort import update_freshness
from economics.constants import MAX_STEPS
from node.cohort.errors import InvalidError
from node.net.wire.cohort_pb2 import Body, Contribution
from node.net.wire.common_pb2 import Versions
from node.net.wire.quorum_pb2 import Plan as PlanMessage
from node.quorum.errors import QuorumError
from node.quorum.plan import Plan

VERSION: Final = 1
CODECS: Final[Mapping[int, Codec]] = {codec.number: codec for codec in (Int8(), TopK(), TwoBit())}


@dataclass(frozen=True, slots=True)
class Opening:
    """What a round opened with: the root of its state (32 bytes) and the time, Unix seconds."""

    root: bytes
    at: int


def names_of(config: ModelConfig, span: Span) -> dict[str, tuple[int, ...]]:
    """Name and shape of the tensors of some parts, in sorted order of names."""
    return {name: shape for name, shape in config.shapes().items() if _part_of(config, name) in span}


def _part_of(config: ModelConfig, name: str) -> int:
    """The part that a tensor belongs to: positions go with the embedding."""
    if name in ("embed", "position"):
        return 0
    return config.layers + 1 if name == "head" else int(name[len("layer") : name.index(".")]) + 1


def span_of(message: Contribution) -> Span:
    """The parts that a contribution is for. Raises QuorumError (consensus) where there are none."""
    return Span(message.first_part, message.first_part + message.part_count)


def identity(message: Contribution) -> bytes:
    """The id, 32 bytes."""
    return hashlib.sha256(b"ponw/contribution/1\x00" + message.SerializeToString(deterministic=True)).digest()


def source_of(message: Contribution) -> bytes:
    """Who trained: the quorum's id, or the account that trained alone."""
    return bytes(message.versions.quorum or message.account)


def weight_of(message: Contribution) -> int:
    """Its integer weight inside the robust rule: square root of its batches, times freshness."""
    return update_weight(message.batches, update_freshness(message.age))


@dataclass(frozen=True)
class Rules:
    """What every contribution of a network must agree with. `openings`: of every round that a base may be."""

    config: ModelConfig
    versions: Versions
    opening: Callable[[int], Opening | None]

    def check(self, body: Body) -> None:
        """Everything about a signed header that needs no payload.

        Raises:
            InvalidError: names what is wrong.
        """
        message, account = body.contribution, body.account
        fault = self._fault(message, body)
        if fault is not None:
            raise InvalidError(account, *fault)
        if message.versions.quorum:
            self._check_seat(message, account)

    def _fault(self, message: Contribution, body: Body) -> tuple[str, str] | None:
        own = self.versions
        theirs = (message.versions.network, message.versions.arch_version, message.versions.vocab_version)
        if message.version != VERSION or theirs != (own.network, own.arch_version, own.vocab_version):
            return "malformed", "A contribution to another model, or in another form."
        if message.account != body.account or message.round != body.round:
            return "malformed", "A contribution that is not its signer's, or of another round."
        if any(len(field) != 32 for field in (message.start_root, message.root, message.update_root)):
            return "malformed", "A root has 32 bytes."
        if not message.part_count >= 1 or message.first_part + message.part_count > part_count(self.config.layers):
            return "malformed", "A contribution of parts that the model does not have."
        if not 1 <= message.batches <= MAX_STEPS:
            return "malformed", f"A contribution has 1 to {MAX_STEPS} batches, not {message.batches}."
        return self._base_fault(message) or self._codec_fault(message)

    def _base_fault(self, message: Contribution) -> tuple[str, str] | None:
        base, now = self.opening(message.base), self.opening(message.round)
        if base is None or now is None or message.base > message.round:
            return "base", f"Round {message.base} is no base for round {message.round} here."
        if message.start_root != base.root:
            return "root", f"It did not start from the state that round {message.base} opened with."
        if message.age != now.at - base.at:
            return "age", f"It is {now.at - base.at} s old and says {message.age} s."
        return None

    def _codec_fault(self, message: Contribution) -> tuple[str, str] | None:
        codec = CODECS.get(message.codec)
        if codec is None:
            return "codec", f"There is no codec {message.codec}."
        size = encoded_size(codec, names_of(self.config, span_of(message)))
        return None if message.size == size else ("codec", f"Its encoding has {size} bytes and not {message.size}.")

    def _check_seat(self, message: Contribution, account: bytes) -> None:
        """Its quorum's record leads to the quorum's id, and gives this account these very parts."""
        try:
            # The id follows from the seats; of which session on chain they were makes no difference here.
            seats = PlanMessage(versions=message.versions, quorum=message.quorum, steps=message.batches, round=1)
            plan = Plan.of(seats)
            plan.stages(self.config)
            seated = plan.proposal.span_of(account)
            fits = plan.id == message.versions.quorum and seated == span_of(message)
        except (QuorumError, ConsensusError) as error:
            raise InvalidError(account, "stranger", f"Its quorum is none: {error.message}") from error
        if not fits:
            raise InvalidError(account, "stranger", "Its quorum gives this account other parts, or has another id.")


def complete(messages: Iterable[Contribution], parts: int) -> list[list[Contribution]]:
    """Contributions of the whole model, each as its parts in order: one account's, or those of all seats of a quorum
    for one base. What is a part of none is left out. Oldest base last, then by source.

    Where a seat has signed two different parts for one base, none of them counts.
    """
    groups: dict[tuple[bytes, int], list[Contribution]] = {}
    for message in messages:
        groups.setdefault((source_of(message), message.base), []).append(message)
    whole = []
    for (source, base), group in groups.items():
        group.sort(key=lambda one: one.first_part)
        starts = [one.first_part for one in group]
        ends = [0, *(one.first_part + one.part_count for one in group)]
        terms = {(one.batches, one.codec) for one in group}
        if [*starts, parts] == ends and len(terms) == 1:
            whole.append((-base, source, group))
    return [group for _, _, group in sorted(whole, key=lambda entry: entry[:2])]
