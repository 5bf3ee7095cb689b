"""The chain as the round loop sees it: the current round, its claims and challenges, and where peers serve."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from eth_utils.crypto import keccak

from consensus.commitments.claim import Claim, ClaimKind, extend_final_set
from node.chain import events
from node.chain.contracts import Contracts
from node.chain.published import Published
from node.chain.types import Block, ClaimState, LossReason, Phase, Round
from node.errors import RpcError

_LOSS = {LossReason.SILENCE: "no answer in time", LossReason.RULING: "ruled wrong"}


@dataclass(frozen=True)
class Start:
    """Where the work of a claim begins: what of a round never changes. `opened_at` in Unix seconds."""

    number: int
    root: bytes
    randomness: bytes
    opened_at: int

    @classmethod
    def of(cls, number: int, info: Round) -> Start:
        """A round's own start."""
        return cls(number, info.start_root, info.randomness, info.opened_at)


@dataclass
class ClaimView:
    """One claim of the round; `challenges` maps a challenger to (step, deadline of the answer) while it waits for one,
    `judged` to the step of its game."""

    claim: Claim
    hash: bytes
    node: str
    state: ClaimState = ClaimState.POSTED
    challenges: dict[str, tuple[int, int]] = field(default_factory=dict)
    judged: dict[str, int] = field(default_factory=dict)
    reason: str = ""
    reward: int = 0


@dataclass(frozen=True)
class RoundView:
    """A round at one block. `finals` are its final TRAIN claims in the chain's order; `answered` the challenges that
    went before the judge; `terms` the program hash and the data root of its claims; `bases` where its late claims
    began, by round."""

    number: int
    phase: Phase
    info: Round
    block: Block
    opened_block: int
    claims: tuple[ClaimView, ...]
    finals: tuple[ClaimView, ...]
    uris: dict[str, str]
    answered: list[events.ChallengeAnswered] = field(default_factory=list)
    terms: tuple[bytes, bytes] = (bytes(32), bytes(32))
    bases: Mapping[int, Start] = field(default_factory=dict)

    @property
    def start(self) -> Start:
        """Where the round itself begins."""
        return Start.of(self.number, self.info)

    def start_of(self, claim: Claim) -> Start:
        """Where the work of one of its claims begins: in an earlier round, where the claim is late."""
        return self.bases[claim.base] if claim.is_late else self.start

    def age(self, claim: Claim) -> int:
        """Seconds from the opening of the round that a claim's work began in to that of this one."""
        return self.info.opened_at - self.start_of(claim).opened_at

    @property
    def trains(self) -> list[ClaimView]:
        """TRAIN claims in the order they were posted."""
        return [claim for claim in self.claims if claim.claim.kind is ClaimKind.TRAIN]

    @property
    def outer(self) -> ClaimView | None:
        """The OUTER claim that stands: posted or final."""
        standing = (c for c in self.claims if c.claim.kind is ClaimKind.OUTER and c.state is not ClaimState.LOST)
        return next(standing, None)

    def own(self, node: str, kind: ClaimKind) -> ClaimView | None:
        """The newest claim of `node` of that kind."""
        return next((c for c in reversed(self.claims) if c.node == node and c.claim.kind is kind), None)

    def find(self, claim_hash: bytes) -> ClaimView | None:
        """A claim by its hash."""
        return next((c for c in self.claims if c.hash == claim_hash), None)


class Ledger:
    """Reads rounds from the registry's events. Each round is rebuilt whole at every look, so that a reorganised
    chain needs no repair; where peers serve is remembered."""

    def __init__(self, contracts: Contracts, first_block: int) -> None:
        self._contracts, self.first = contracts, first_block
        self._opened: dict[int, int] = {}
        self._uris: dict[str, str] = {}
        self._published = Published(contracts, first_block)
        self._terms: dict[tuple[int, int, int], tuple[bytes, bytes]] = {}
        self._bases: dict[int, Start] = {}

    @property
    def nodes(self) -> int:
        """Accounts that have announced where they serve, as of the last look."""
        return len(self._uris)

    def look(self, number: int | None = None) -> RoundView:
        """A round as it stands at one block, by default the newest round. An earlier one must have been seen before.

        Everything is read at that block: a phase of a later one beside claims of an earlier one would make a node take
        the outer step over some of the final updates.

        Raises:
            RpcError: the endpoint does not answer, or gives other final claims than the chain counts.
        """
        registry = self._contracts.registry
        block = self._contracts.client.block()
        newest = registry.current_round(block.number)
        wanted = newest if number is None else number
        since = self._opened.get(wanted, max(self._opened.values(), default=self.first))
        found = list(registry.events(since, block.number))
        self._remember(found)
        info, phase = registry.round_of(wanted, block.number), registry.phase_of(wanted, block.number)
        claims, finals = _replay(event for event in found if _of_round(event, wanted))
        if final_set(finals) != info.final_set:
            raise RpcError(
                f"The endpoint's events up to block {block.number} lack final claims of round {wanted}.",
                "The node asks again; another endpoint may be more complete.",
            )
        opened = self._opened.get(wanted, block.number)
        answered = [event for event in found if isinstance(event, events.ChallengeAnswered)]
        return RoundView(
            wanted,
            phase,
            info,
            block,
            opened,
            claims,
            finals,
            dict(self._uris),
            answered,
            self.terms_of(info),
            {view.claim.base: self._base(view.claim) for view in claims if view.claim.is_late},
        )

    def _base(self, claim: Claim) -> Start:
        """Where a late claim began: read once a round, and again should a reorganised chain have another one."""
        found = self._bases.get(claim.base)
        if found is None or found.root != claim.start_root:
            info = self._contracts.registry.round_of(claim.base)
            found = self._bases[claim.base] = Start.of(claim.base, info)
        return found

    def terms_of(self, info: Round) -> tuple[bytes, bytes]:
        """The terms of a round: a version's never change, so they are read once, unless the round has others after all.

        Raises:
            RpcError: the endpoint does not answer, or its events lack them.
        """
        key = info.era
        found = self._terms.get(key)
        if found is None or not _are_terms(found, info):
            found = self._terms[key] = self._published.of_round(*key)
        if _are_terms(found, info):
            return found
        raise RpcError(
            f"The endpoint's events do not have the terms of a round from version {key[0]} to {key[1]}.",
            "The node asks again; another endpoint may be more complete.",
        )

    def _remember(self, found: Iterable[events.Event]) -> None:
        for event in found:
            if isinstance(event, events.Announced):
                self._uris[event.node] = event.uri
            elif isinstance(event, events.RoundOpened):
                self._opened[event.round] = event.block


def lateness(claim: Claim) -> str:
    """How a late claim is called in lists; empty for one that is on time."""
    return f"late, from round {claim.base}" if claim.is_late else ""


def _are_terms(terms: tuple[bytes, bytes], info: Round) -> bool:
    """Whether the chain's hash of a round is of these terms; before the first round it has none."""
    words = (*terms, info.start_root, info.layers.to_bytes(32, "big"))
    return not info.opened_at or keccak(b"".join(words)) == info.terms


def _of_round(event: events.Event, number: int) -> bool:
    return getattr(event, "round", number) == number


def _replay(found: Iterator[events.Event]) -> tuple[tuple[ClaimView, ...], tuple[ClaimView, ...]]:
    claims: dict[bytes, ClaimView] = {}
    finals: list[ClaimView] = []
    for event in found:
        if isinstance(event, events.ClaimPosted):
            claims[event.claim_hash] = ClaimView(event.claim, event.claim_hash, event.node)
        view = claims.get(getattr(event, "claim_hash", b""))
        if view is None:
            continue
        if isinstance(event, events.ClaimChallenged):
            view.challenges[event.challenger] = (event.step, event.deadline)
            view.judged.pop(event.challenger, None)
        elif isinstance(event, events.ChallengeAnswered):
            view.judged[event.challenger] = event.step
            view.challenges.pop(event.challenger, None)
        elif isinstance(event, events.ChallengeFailed | events.ChallengeReleased):
            view.challenges.pop(event.challenger, None)
            view.judged.pop(event.challenger, None)
        elif isinstance(event, events.ClaimFinal):
            view.state, view.reward = ClaimState.FINAL, event.reward
            if view.claim.kind is ClaimKind.TRAIN:
                finals.append(view)
        elif isinstance(event, events.ClaimLost):
            view.state = ClaimState.LOST
            view.reason = f"step {event.step}: {_LOSS[event.reason]}"
            view.challenges.pop(event.challenger, None)
            view.judged.pop(event.challenger, None)
    return tuple(claims.values()), tuple(finals)


def final_set(finals: Iterable[ClaimView]) -> bytes:
    """The running hash that the chain keeps over these final claims, in this order."""
    running = bytes(32)
    for view in finals:
        running = extend_final_set(running, view.hash)
    return running


def first_block_after(contracts: Contracts, timestamp: int, low: int, high: int) -> Block | None:
    """The first block from `low` to `high` with a later timestamp; None if there is none yet. Block times ascend."""
    client = contracts.client
    newest = client.block(high)
    if newest.timestamp <= timestamp:
        return None
    best = newest
    while low < high:
        middle = (low + high) // 2
        block = client.block(middle)
        if block.timestamp > timestamp:
            best, high = block, middle
        else:
            low = middle + 1
    return best if best.number == low else client.block(low)
