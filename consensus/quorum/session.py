"""A quorum's life: proposed → accepted → active → renewing → active … → dissolving → dissolved.

Every function takes a session and gives the next one; ``at`` is in Unix seconds. Nothing is sent and nothing is read:
the node and the simulator do that around these rules.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from consensus.errors import QuorumError
from consensus.quorum.presence import Health, fault
from consensus.quorum.proposal import Proposal, Seat
from economics.constants import SESSION_RENEWAL
from economics.networks import MAINNET_TIMES, QuorumTimes
from economics.units import BPS


class State(StrEnum):
    """Where a session stands."""

    PROPOSED = "proposed"
    ACCEPTED = "accepted"
    ACTIVE = "active"
    RENEWING = "renewing"
    DISSOLVING = "dissolving"
    DISSOLVED = "dissolved"


RUNNING: Final = frozenset({State.ACTIVE, State.RENEWING})
"""States in which batches are trained."""
BOUND: Final = frozenset(State) - {State.DISSOLVED}
"""States in which a member is in no other session."""
NEXT: Final[dict[State, frozenset[State]]] = {
    State.PROPOSED: frozenset({State.ACCEPTED, State.DISSOLVED}),
    State.ACCEPTED: frozenset({State.ACTIVE, State.DISSOLVED}),
    State.ACTIVE: frozenset({State.RENEWING, State.DISSOLVING}),
    State.RENEWING: frozenset({State.ACTIVE, State.DISSOLVING}),
    State.DISSOLVING: frozenset({State.DISSOLVED}),
    State.DISSOLVED: frozenset(),
}
"""Every step there is."""


@dataclass(frozen=True, slots=True)
class Session:
    """One quorum at one moment. ``id`` stays while members change."""

    id: bytes
    initiator: bytes
    seats: tuple[Seat, ...]
    seconds: int
    state: State
    since: int
    """When this state began."""
    began: int
    """When training began; before, when it was proposed."""
    ends: int
    """When the state lapses unless something happens."""
    agreed: frozenset[bytes] = frozenset()
    """Members that accepted the proposal or the renewal, or that saved their state while dissolving."""
    batches: int = 0
    """Done since the last renewal."""
    renewals: int = 0
    decided: bool = False
    """Whether the renewal of this term was decided."""
    why: str = ""
    """Why the state is what it is, in words."""

    @property
    def accounts(self) -> tuple[bytes, ...]:
        """Members in pipeline order."""
        return tuple(seat.account for seat in self.seats)


def open_session(proposal: Proposal, at: int, times: QuorumTimes = MAINNET_TIMES) -> Session:
    """A valid proposal waits for its members; the initiator has accepted by proposing."""
    return _all_agreed(
        Session(
            id=proposal.id,
            initiator=proposal.initiator,
            seats=proposal.seats,
            seconds=proposal.seconds,
            state=State.PROPOSED,
            since=at,
            began=at,
            ends=at + times.accept,
            agreed=frozenset({proposal.initiator}),
            why="waits for its members to accept",
        ),
        at,
        times,
    )


def accept(session: Session, account: bytes, at: int, times: QuorumTimes = MAINNET_TIMES) -> Session:
    """A member accepts the proposal, or the renewal. Raises QuorumError for a stranger or in another state."""
    _require(session, {State.PROPOSED, State.RENEWING}, account)
    return _all_agreed(replace(session, agreed=session.agreed | {account}), at, times)


def refuse(session: Session, account: bytes, why: str, at: int, times: QuorumTimes = MAINNET_TIMES) -> Session:
    """A member refuses: a proposal lapses, a renewal ends in dissolution. Raises QuorumError as ``accept``."""
    _require(session, {State.PROPOSED, State.ACCEPTED, State.RENEWING}, account)
    return dissolve(session, f"0x{account[:4].hex()} refused: {why}", at, times)


def start(session: Session, at: int) -> Session:
    """The accepted quorum is announced and begins to train. Raises QuorumError in another state."""
    _require(session, {State.ACCEPTED})
    return _move(session, State.ACTIVE, at, "trains", began=at, ends=at + session.seconds)


def count(session: Session, batches: int) -> Session:
    """More batches are done. Raises QuorumError while nothing is trained, or for less than none."""
    _require(session, RUNNING)
    if batches < 0:
        raise QuorumError("batches done cannot become fewer")
    return replace(session, batches=session.batches + batches)


def tick(session: Session, health: Mapping[bytes, Health], at: int, times: QuorumTimes = MAINNET_TIMES) -> Session:
    """What the time alone brings: lapses, the decision on renewal at 80%, the end."""
    if session.state is State.ACTIVE and not session.decided and at >= decision_time(session):
        session = _decide(session, health, at, times)
    if at < session.ends:
        return session
    if session.state in {State.PROPOSED, State.ACCEPTED}:
        return _move(session, State.DISSOLVED, at, "not every member accepted in time")
    if session.state is State.DISSOLVING:
        return _move(session, State.DISSOLVED, at, session.why)
    if session.state in RUNNING:
        why = (
            session.why if session.decided and session.state is State.ACTIVE else "renewal not accepted by all in time"
        )
        return dissolve(session, why, at, times)
    return session


def decision_time(session: Session) -> int:
    """When the renewal is decided: at 80% of the term."""
    return session.ends - session.seconds + session.seconds * SESSION_RENEWAL // BPS


def renewal_refused(
    session: Session, health: Mapping[bytes, Health], at: int, times: QuorumTimes = MAINNET_TIMES
) -> str:
    """Why a session is not renewed, in words; "" when it is."""
    if session.ends + session.seconds - session.began > times.session_max:
        return f"has lasted as long as a session may ({times.session_max} s)"
    if session.batches < times.batches_min:
        return f"did {session.batches} batches, {times.batches_min} renew it"
    ill = faults(session, health, at, times)
    return "" if not ill else f"0x{min(ill)[:4].hex()} {ill[min(ill)]}"


def faults(
    session: Session, health: Mapping[bytes, Health], at: int, times: QuorumTimes = MAINNET_TIMES
) -> dict[bytes, str]:
    """Members to replace, each with why. Who was never heard of counts from the session's begin."""
    found = {a: fault(health.get(a, Health(session.began)), at, times) for a in session.accounts}
    return {account: why for account, why in found.items() if why}


def lead(session: Session, lost: Mapping[bytes, str] | frozenset[bytes] = frozenset()) -> bytes | None:
    """Who speaks for the quorum: the initiator, else the next member in pipeline order; None when all are lost."""
    return next((a for a in (session.initiator, *session.accounts) if a in session.accounts and a not in lost), None)


def replace_member(session: Session, lost: bytes, account: bytes, why: str, at: int) -> Session:
    """Seat another node in a member's place; a lost initiator's office goes to the next in order.

    Raises QuorumError when nothing is trained, ``lost`` is no member, or ``account`` already is one.
    """
    _require(session, RUNNING, lost)
    if account in session.accounts:
        raise QuorumError("a node has one seat in a quorum")
    seats = tuple(Seat(account, s.span) if s.account == lost else s for s in session.seats)
    following = lead(session, frozenset({lost}))
    initiator = session.initiator if lost != session.initiator else (following or account)
    agreed = session.agreed - {lost} | {account}
    return replace(session, seats=seats, initiator=initiator, agreed=agreed, why=f"0x{lost[:4].hex()} replaced: {why}")


def dissolve(session: Session, why: str, at: int, times: QuorumTimes = MAINNET_TIMES) -> Session:
    """End it: one that trains saves its state first; one that never began is gone at once; else nothing changes."""
    if session.state in RUNNING:
        return _move(session, State.DISSOLVING, at, why, agreed=frozenset(), ends=at + times.dissolve)
    if session.state in {State.PROPOSED, State.ACCEPTED}:
        return _move(session, State.DISSOLVED, at, why)
    return session


def saved(session: Session, account: bytes, at: int) -> Session:
    """A member of a dissolving quorum saved its state; all have: dissolved. Raises QuorumError in another state."""
    _require(session, {State.DISSOLVING}, account)
    session = replace(session, agreed=session.agreed | {account})
    done = session.agreed >= set(session.accounts)
    return _move(session, State.DISSOLVED, at, session.why) if done else session


def engaged(sessions: Iterable[Session]) -> dict[bytes, bytes]:
    """The session of every account that is in one: ``validity.Facts.busy``. A proposal binds who has accepted it.

    Raises QuorumError where an account is in two.
    """
    found: dict[bytes, bytes] = {}
    for session in sessions:
        if session.state not in BOUND:
            continue
        for account in session.agreed if session.state is State.PROPOSED else session.accounts:
            if found.setdefault(account, session.id) != session.id:
                raise QuorumError(f"0x{account[:4].hex()} is in two sessions", "It may accept one proposal at a time.")
    return found


def _decide(session: Session, health: Mapping[bytes, Health], at: int, times: QuorumTimes) -> Session:
    refused = renewal_refused(session, health, at, times)
    if refused:
        return replace(session, decided=True, why=f"not renewed: {refused}")
    return _move(session, State.RENEWING, at, "asks its members to go on", agreed=frozenset(), decided=True)


def _all_agreed(session: Session, at: int, times: QuorumTimes) -> Session:
    if not session.agreed >= set(session.accounts):
        return session
    if session.state is State.PROPOSED:
        return _move(session, State.ACCEPTED, at, "accepted by all", ends=at + times.accept)
    ends, renewals = session.ends + session.seconds, session.renewals + 1
    return _move(session, State.ACTIVE, at, "renewed", ends=ends, renewals=renewals, batches=0, decided=False)


def _move(session: Session, state: State, at: int, why: str, **changes: object) -> Session:
    if state not in NEXT[session.state]:
        raise QuorumError(f"a session does not go from {session.state} to {state}")
    return replace(session, state=state, since=at, why=why, **changes)  # type: ignore[arg-type]


def _require(session: Session, states: frozenset[State] | set[State], account: bytes | None = None) -> None:
    if session.state not in states:
        raise QuorumError(f"a {session.state} session does not take this", "Look at its state first.")
    if account is not None and account not in session.accounts:
        raise QuorumError("this account is no member of the quorum")
