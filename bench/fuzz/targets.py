"""Where junk is sent: every protocol that a node serves to its peers, and every topic."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from google.protobuf.message import Message
from libp2p.identity.identify.pb.identify_pb2 import Identify
from libp2p.kad_dht.pb.kademlia_pb2 import Message as KadMessage
from libp2p.pubsub.pb import rpc_pb2

from bench.accounts import NumberedAccount
from bench.fuzz.messages import U32, VARINT, Framing, Junk
from bench.fuzz.sender import Sender
from bench.quorum_node import NETWORK
from consensus.quorum.parts import Span
from consensus.quorum.proposal import Proposal, Seat
from node.net.dht import text_key
from node.net.identify import PUSH
from node.net.identity import peer_bytes
from node.net.limits import HELLO_PROTOCOL
from node.net.plain import signed
from node.net.topics import TOPICS
from node.net.transfer import PROTOCOL as TRANSFER
from node.net.wire.cohort_pb2 import Body, Contribution, Signed
from node.net.wire.common_pb2 import Versions
from node.net.wire.gossip_pb2 import ClaimNotice, Envelope, Heartbeat, QuorumNotice
from node.net.wire.hello_pb2 import Contact, Hello
from node.net.wire.pipeline_pb2 import PipelineFrame, PipelineHello
from node.net.wire.stages_pb2 import StagesWanted
from node.net.wire.transfer_pb2 import Frame, Locate, Want
from node.quorum.agreement import PROTOCOL as QUORUM
from node.quorum.assembly import PROTOCOL as STAGES
from node.quorum.plan import Plan
from node.quorum.team import PROTOCOL as PIPELINE

IDENTIFY: Final = "/ipfs/id/1.0.0"
GOSSIP: Final = "/meshsub/1.1.0"
KAD: Final = "/ipfs/kad/1.0.0"
ACCOUNTS: Final = range(100, 116)
"""Staked accounts of the senders: their keys are as many as it takes."""
VERSIONS: Final = Versions(network=NETWORK)
BODIES: Final[dict[str, type[Message]]] = {
    "heartbeats": Heartbeat,
    "claims": ClaimNotice,
    "quorums": QuorumNotice,
    "cohort": Signed,
}
"""What each topic's announcements hold."""


@dataclass(frozen=True)
class Target:
    """A protocol, or a topic on the gossip protocol. ``bans``: whether junk here counts against its sender."""

    name: str
    protocol: str
    framing: Framing
    valid: Callable[[Sender], Message]
    topic: str = ""
    bans: bool = True
    stays: bool = False
    """One stream takes many messages, and its end is not answered."""

    def junk(self, junk: Junk, hostile: Sender) -> bytes:
        """What is written to a stream."""
        valid = self.valid(hostile)
        if not self.topic:
            return junk.message(valid, self.framing, _others(hostile))[1]
        assert isinstance(valid, Envelope)  # noqa: S101 - narrows for the type checker
        if junk.random.random() < 0.7:
            valid.body = junk.body(BODIES[self.topic].FromString(valid.body), _others(hostile))
            data = valid.SerializeToString()
        else:
            data = junk.body(valid, _others(hostile))
        return self.framing.whole(hostile.announcement(self.topic, data))


def _hello(hostile: Sender) -> Message:
    contact = Contact(peer=peer_bytes(b"c" * 32), addresses=["/ip4/127.0.0.1/tcp/9"])
    return Hello(
        versions=VERSIONS, binding=hostile.binding(ACCOUNTS[0]), addresses=["/ip4/127.0.0.1/tcp/9"], known=[contact]
    )


def _identify(hostile: Sender) -> Message:
    return Identify(protocols=[GOSSIP, KAD], listen_addrs=[b"\x04\x7f\x00\x00\x01\x06\x00\x09"], agent_version="x")


def _want(hostile: Sender) -> Message:
    return Frame(want=Want(versions=VERSIONS, root=b"r" * 32, first_chunk=1, chunks=2))


def _locate(hostile: Sender) -> Message:
    return Frame(locate=Locate(versions=VERSIONS, round=1, name="index.json"))


def plan_of(peer: bytes) -> Plan:
    """A plan of two seats, the first one the sender's."""
    seats = tuple(
        Seat(NumberedAccount(number).account, span) for number, span in ((ACCOUNTS[0], Span(0, 3)), (1, Span(3, 6)))
    )
    proposal = Proposal(seats[0].account, seats, 0, 0, int(time.time()), 1_800)
    return Plan(NETWORK, proposal, (peer, peer_bytes(b"n" * 32)), 4)


def _plan(hostile: Sender) -> Message:
    return plan_of(peer_bytes(hostile.seed)).message()


def _stages(hostile: Sender) -> Message:
    return StagesWanted(versions=VERSIONS, round=1)


def _pipeline(hostile: Sender) -> Message:
    hello = PipelineHello(stage=0, layers=[2, 2], round=1, start_root=b"s" * 32, steps=[0], stop=4)
    return PipelineFrame(versions=VERSIONS, hello=hello)


def _record(hostile: Sender) -> Message:
    key, value = signed(hostile.seed, b"", 1, int(time.time()) + 600, b"payload")
    put = KadMessage(type=KadMessage.MessageType.PUT_VALUE, key=text_key(key).encode())
    put.record.key, put.record.value = put.key, value
    return put


def _rpc(hostile: Sender) -> Message:
    return rpc_pb2.RPC.FromString(hostile.announcement("heartbeats", _beat(hostile).SerializeToString()))


def _envelope(hostile: Sender, body: Message) -> Envelope:
    binding = hostile.binding(ACCOUNTS[0])
    return Envelope(versions=VERSIONS, binding=binding, sent=int(time.time()), body=body.SerializeToString())


def _beat(hostile: Sender) -> Message:
    return _envelope(hostile, Heartbeat(mode="pipeline", tier=1, round=3, part_count=2, quorum=b"q" * 32))


def _claim(hostile: Sender) -> Message:
    return _envelope(
        hostile, ClaimNotice(claim=b"c" * 32, round=1, content=b"d" * 32, size=9, uri="http://127.0.0.1:9")
    )


def _notice(hostile: Sender) -> Message:
    return _envelope(hostile, QuorumNotice(quorum=b"q" * 32, change=QuorumNotice.FORMED, version=1, record=b"r" * 99))


def _cohort(hostile: Sender) -> Message:
    body = Body(contribution=Contribution(version=1, versions=VERSIONS, round=1, base=1, batches=1, part_count=1))
    return _envelope(hostile, Signed(body=body.SerializeToString(), signature=b"s" * 65))


def _others(hostile: Sender) -> tuple[Message, ...]:
    return (_want(hostile), _stages(hostile), _pipeline(hostile), _identify(hostile))


TARGETS: Final = (
    Target("hello", HELLO_PROTOCOL, U32, _hello),
    Target("identify answer", IDENTIFY, VARINT, _identify),
    Target("identify push", str(PUSH), VARINT, _identify),
    Target("transfer", TRANSFER, U32, _want),
    Target("rounds", TRANSFER, U32, _locate),
    Target("quorum", QUORUM, U32, _plan),
    Target("stages", STAGES, U32, _stages, bans=False),
    Target("pipeline", PIPELINE, U32, _pipeline, bans=False, stays=True),
    Target("records", KAD, VARINT, _record),
    Target("gossip", GOSSIP, VARINT, _rpc, stays=True),
    *(
        Target(f"topic {topic}", GOSSIP, VARINT, valid, topic, stays=True)
        for topic, valid in zip(TOPICS, (_beat, _claim, _notice, _cohort), strict=True)
    ),
)
"""Stages are given to a quorum's leader only, and pipelines to neighbours: a stranger's streams are closed unread, so
nothing there counts against it. What a member may send is fuzzed in bench/fuzz/local.py."""
