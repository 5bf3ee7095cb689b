"""Members of a quorum train a round over sockets, and their leader then holds what a single process would hold."""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch

from consensus.arithmetic import choose_engine
from consensus.commitments.tensors import state_root
from consensus.commitments.trace import StepLeaf
from consensus.model.config import PRESETS
from consensus.model.init import init_weights
from consensus.quorum.parts import Span
from consensus.quorum.proposal import Proposal, Seat
from consensus.training.step import Trainer, TrainState
from economics.cohort import segment_length
from node.errors import PeerError
from node.net.accepting import accept_each
from node.net.hotkey import peer_text
from node.quorum import assembly, team
from node.quorum.assembly import AssemblyError
from node.quorum.doors import Doors
from node.quorum.errors import QuorumError
from node.quorum.pipeline.errors import PipelineError
from node.quorum.pipeline.link import Timeouts
from node.quorum.plan import Plan, PlanError
from node.quorum.team import Around, Team, TeamRound
from node.storage.checkpoints import CheckpointStore

CONFIG = PRESETS["tiny"]
STEPS = 4
ACCOUNTS = [bytes([n + 1]) * 20 for n in range(3)]
PEERS = [bytes([18, 32, n]) * 5 for n in range(3)]
CUTS = [0, 2, 4, 6]


def plan_of(leader: int = 1) -> Plan:
    seats = tuple(Seat(ACCOUNTS[i], Span(CUTS[i], CUTS[i + 1])) for i in range(3))
    return Plan(bytes(32), Proposal(ACCOUNTS[leader], seats, 0, 0, 1_000, 1_800), tuple(PEERS), STEPS)


def batch(step: int) -> torch.Tensor:
    rows = torch.arange(CONFIG.batch * (CONFIG.seq_len + 1)) * (31 * step + 7) % 251
    return rows.reshape(CONFIG.batch, -1).to(torch.int32)


class Incoming:
    """Streams to one peer for one protocol, over real sockets."""

    def __init__(self) -> None:
        self.queue: queue.Queue[tuple[str, socket.socket]] = queue.Queue()

    def accept(self, timeout: float | None = None) -> tuple[str, socket.socket]:
        try:
            return self.queue.get(timeout=timeout)
        except queue.Empty as error:
            raise TimeoutError from error

    def close(self) -> None:
        """Nothing to close."""


class Hub:
    """Who listens for what."""

    def __init__(self) -> None:
        self.listening: dict[tuple[str, str], Incoming] = {}

    def listen(self, peer: str, protocol: str) -> Incoming:
        return self.listening.setdefault((peer, protocol), Incoming())


class Wire:
    """One peer's view of the hub."""

    def __init__(self, hub: Hub, me: str) -> None:
        self.hub, self.me = hub, me

    def dial(self, peer: str, protocol: str, timeout: float) -> socket.socket:
        ours, theirs = socket.socketpair()
        ours.settimeout(timeout)
        self.hub.listen(peer, protocol).queue.put((self.me, theirs))
        return ours


class Node:
    """A member with its team and its threads."""

    def __init__(self, hub: Hub, seat: int, folder: Path, stack: ExitStack, plan: Plan) -> None:
        name = peer_text(PEERS[seat])
        doors = stack.enter_context(Doors(hub.listen(name, team.PROTOCOL)))
        around = Around(Wire(hub, name), doors, Timeouts(hello=30, frame=30, send=30, close=1))
        engine = choose_engine(threads=1)
        self.team = Team(plan, ACCOUNTS[seat], CONFIG, engine, around, folder / str(seat))
        self.leaves: list[StepLeaf] = []
        self._closing = threading.Event()
        self._serving = threading.Thread(
            target=accept_each,
            args=(hub.listen(name, assembly.PROTOCOL), self._closing, lambda who, s: self.team.serve(s, who)),
        )
        self._serving.start()
        stack.callback(self._stop)

    def _stop(self) -> None:
        self._closing.set()
        self._serving.join()

    def train(self, weights: Callable[[], dict[str, torch.Tensor]]) -> None:
        self.team.train(TeamRound(1, bytes(32), weights, batch), list(self.leaves), self.leaves.append)


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[list[Node]]:
    with ExitStack() as stack:
        hub, plan = Hub(), plan_of()
        yield [Node(hub, seat, tmp_path, stack, plan) for seat in range(3)]


def weights() -> dict[str, torch.Tensor]:
    return init_weights(CONFIG, b"team")


def alone() -> tuple[dict[int, bytes], dict[str, torch.Tensor]]:
    engine = choose_engine(threads=1)
    state, trainer, roots = TrainState.start(weights()), Trainer(CONFIG, engine), {}
    for step in range(STEPS):
        trainer.step(state, batch(step))
        roots[step + 1] = state_root(state.weights, state.m, state.v)
    return roots, state.weights


def train_all(nodes: list[Node]) -> list[BaseException | None]:
    with ThreadPoolExecutor(3) as pool:
        return [future.exception() for future in [pool.submit(node.train, weights) for node in nodes]]


def test_a_round_is_the_one_of_a_single_process(nodes: list[Node], tmp_path: Path) -> None:
    assert train_all(nodes) == [None, None, None]
    roots, end = alone()
    for node in nodes:
        assert [leaf.state_root for leaf in node.leaves] == list(roots.values())
    assert [node.team.leads for node in nodes] == [False, True, False]
    whole = CheckpointStore(tmp_path / "whole", CONFIG.shapes(), state_root)
    nodes[1].team.assemble(1, nodes[1].leaves, whole)
    every = segment_length(STEPS)
    assert whole.saved() == [(1, step) for step in roots if step % every == 0 or step == STEPS]
    held = whole.load(whole.path(1, STEPS)).groups["weights"]
    assert all(torch.equal(held[name], tensor) for name, tensor in end.items())


def test_a_part_that_is_not_the_agreed_one_is_found(nodes: list[Node], tmp_path: Path) -> None:
    assert train_all(nodes) == [None, None, None]
    whole = CheckpointStore(tmp_path / "whole", CONFIG.shapes(), state_root)
    liar = nodes[2].team
    path = liar._store.path(1, STEPS)
    checkpoint = liar._store.load(path)
    checkpoint.groups["weights"]["head"][0, 0] += 1
    groups = checkpoint.groups
    root = state_root(groups["weights"], groups["m"], groups["v"])
    liar._store.save(type(checkpoint)(1, STEPS, root, groups))
    with pytest.raises(AssemblyError, match="not the state that was agreed on"):
        nodes[1].team.assemble(1, nodes[1].leaves, whole)
    assert (1, STEPS) not in whole.saved()


def test_strangers_are_not_served(nodes: list[Node]) -> None:
    assert train_all(nodes) == [None, None, None]
    ours, theirs = socket.socketpair()
    nodes[0].team.serve(theirs, peer_text(PEERS[2]))
    with ours:
        assert ours.recv(1) == b""


def test_a_failing_member_fails_the_round_for_all_and_later_all_go_on(nodes: list[Node]) -> None:
    def broken() -> dict[str, torch.Tensor]:
        raise PeerError("no weights here")

    with ThreadPoolExecutor(3) as pool:
        futures = [pool.submit(node.train, weights if at != 1 else broken) for at, node in enumerate(nodes)]
        failures = [future.exception() for future in futures]
    assert all(isinstance(failure, PeerError) for failure in failures)
    assert isinstance(failures[0], PipelineError | QuorumError)
    assert train_all(nodes) == [None, None, None]
    assert [leaf.state_root for leaf in nodes[1].leaves] == list(alone()[0].values())


def test_a_node_without_a_seat_has_no_team(tmp_path: Path) -> None:
    with ExitStack() as stack:
        doors = stack.enter_context(Doors(Incoming()))
        engine = choose_engine(threads=1)
        around = Around(Wire(Hub(), "x"), doors)
        with pytest.raises(QuorumError, match="no seat"):
            Team(plan_of(), bytes(20), CONFIG, engine, around, tmp_path)
        with pytest.raises(PlanError, match="do not cover"):
            Team(plan_of(), ACCOUNTS[0], PRESETS["small"], engine, around, tmp_path)


def test_doors_keep_the_newest_streams_of_a_peer() -> None:
    incoming = Incoming()
    with Doors(incoming) as doors:
        pairs = [socket.socketpair() for _ in range(3)]
        for _, theirs in pairs:
            incoming.queue.put(("a", theirs))
        assert pairs[0][0].recv(1) == b""  # the third pushed the first out
        pairs[1][0].sendall(b"old!")
        pairs[2][0].sendall(b"old!")
        late, mine = socket.socketpair()
        late.sendall(b"now!hello")
        pairs.append((late, mine))
        incoming.queue.put(("a", mine))
        assert doors.take("a", b"now!", 5).recv(5) == b"hello"
        with pytest.raises(QuorumError, match="opened no stream"):
            doors.take("a", b"now!", 0.1)
        assert pairs[2][0].recv(1) == b""  # left over, so closed
    for ours, theirs in pairs:
        ours.close()
        theirs.close()


def test_nobody_waits_at_the_doors_of_a_node_in_no_quorum() -> None:
    incoming = Incoming()
    pairs = [socket.socketpair() for _ in range(4)]
    with Doors(incoming) as doors:
        for name, (_, theirs) in zip("ab", pairs, strict=False):
            incoming.queue.put((name, theirs))
        pairs[1][0].sendall(b"now!")
        doors.take("b", b"now!", 5).close()  # so the first one has been kept too
        doors.shut()
        assert pairs[0][0].recv(1) == b""
        incoming.queue.put(("a", pairs[2][1]))
        assert pairs[2][0].recv(1) == b""
        doors.open()
        incoming.queue.put(("a", pairs[3][1]))
        pairs[3][0].sendall(b"now!")
        doors.take("a", b"now!", 5).close()
    for ours, theirs in pairs:
        ours.close()
        theirs.close()
