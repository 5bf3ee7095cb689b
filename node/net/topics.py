"""The gossip topics: what an announcement must look like to be passed on. Pure; stakes are checked by the caller."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from google.protobuf.message import DecodeError, Message

from node.net.errors import NetworkError, malformed
from node.net.limits import ENVELOPE_BYTES, GOSSIP_SKEW
from node.net.wire.cohort_pb2 import Signed
from node.net.wire.common_pb2 import Refusal, Versions
from node.net.wire.gossip_pb2 import ClaimNotice, Envelope, Heartbeat, QuorumNotice
from node.net.wire.hello_pb2 import Binding

M = TypeVar("M", bound=Message)
HASH: Final = (32,)
HASH_OR_NONE: Final = (0, 32)


@dataclass(frozen=True)
class Topic:
    """One topic: its name on the wire, most bytes of a body, and the check of a body."""

    name: str
    limit: int
    check: Callable[[bytes], None]


def _lengths(what: str, **fields: tuple[bytes, tuple[int, ...]]) -> None:
    for name, (value, allowed) in fields.items():
        if len(value) not in allowed:
            raise malformed(f"{what}: {name} has {len(value)} bytes.")


def parse(kind: type[M], data: bytes) -> M:
    """A message of `kind`.

    Raises:
        NetworkError: the bytes are no such message.
    """
    message = kind()
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise malformed(f"Bytes that are no {kind.__name__}.") from error
    return message


def _heartbeat(body: bytes) -> None:
    beat = parse(Heartbeat, body)
    _lengths("Heartbeat", quorum=(beat.quorum, HASH_OR_NONE), mode=(beat.mode.encode(), tuple(range(33))))
    if beat.tier > 5:
        raise malformed("Heartbeat: there are five tiers.")


def _claim(body: bytes) -> None:
    notice = parse(ClaimNotice, body)
    _lengths("ClaimNotice", claim=(notice.claim, HASH), quorum=(notice.quorum, HASH_OR_NONE))
    _lengths("ClaimNotice", content=(notice.content, HASH_OR_NONE), uri=(notice.uri.encode(), tuple(range(257))))


def _quorum(body: bytes) -> None:
    notice = parse(QuorumNotice, body)
    _lengths("QuorumNotice", quorum=(notice.quorum, HASH))
    if notice.change not in QuorumNotice.Change.values() or notice.change == QuorumNotice.UNKNOWN:
        raise malformed("QuorumNotice: an unknown change.")


def _cohort(body: bytes) -> None:
    _lengths("Cohort", signature=(parse(Signed, body).signature, (65,)))


TOPICS: Final = {
    topic.name: topic
    for topic in (
        Topic("heartbeats", 256, _heartbeat),
        Topic("claims", 512, _claim),
        Topic("quorums", 8704, _quorum),
        Topic("cohort", 7680, _cohort),
    )
}


def topic_of(name: str) -> Topic:
    """The topic of that name.

    Raises:
        NetworkError: there is none.
    """
    if name not in TOPICS:
        raise NetworkError(f"There is no topic {name[:40]!r}.", f"Topics: {', '.join(TOPICS)}.", Refusal.NOT_FOUND)
    return TOPICS[name]


def check_body(topic: Topic, body: bytes) -> None:
    """Raises NetworkError (TOO_LARGE or MALFORMED) for a body that the topic does not take."""
    if len(body) > topic.limit:
        raise malformed(f"{topic.name}: {len(body)} bytes are more than {topic.limit}.", Refusal.TOO_LARGE)
    topic.check(body)


def seal(topic: Topic, body: bytes, versions: Versions, binding: Binding | None, now: int) -> bytes:
    """The announcement's bytes.

    Raises:
        NetworkError: the topic does not take this body.
    """
    check_body(topic, body)
    return Envelope(versions=versions, binding=binding, sent=now, body=body).SerializeToString()


def unseal(topic: Topic, data: bytes, network: bytes, now: int) -> Envelope:
    """The envelope with a body that the topic takes.

    Raises:
        NetworkError: malformed, too large, of another network, or not of this time.
    """
    if len(data) > topic.limit + ENVELOPE_BYTES:
        raise malformed(f"{topic.name}: {len(data)} bytes.", Refusal.TOO_LARGE)
    envelope = parse(Envelope, data)
    if envelope.versions.network != network:
        raise NetworkError("An announcement of another network.", "", Refusal.OTHER_NETWORK)
    if abs(envelope.sent - now) > GOSSIP_SKEW:
        raise NetworkError("An announcement of another time.", "Check the machine's clock.", Refusal.UNKNOWN)
    check_body(topic, envelope.body)
    return envelope
