"""One node of a network that shares nothing, without a chain: it finds its peers, forms a quorum with them by the
rules, and trains rounds in it. Writes what it found as JSON, one line a round.

Rounds count within a quorum: round n starts from the initial weights of seed n, so that anybody can compute the roots
alone. A broken quorum is left, and the next one begins with round 1. A node that has done its rounds offers itself no
more, and takes commands from its input, one line of JSON each (bench.quorum_sync): whoever started it stands for the
chain, which says what is final.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from bench.accounts import NumberedAccount
from bench.quorum_sync import Sync
from consensus.arithmetic import choose_engine, set_threads
from consensus.arithmetic.engine import Engine
from consensus.commitments.tensors import global_root, state_root
from consensus.commitments.trace import StepLeaf, Trace
from consensus.model.config import PRESETS, ModelConfig
from consensus.model.init import init_weights
from consensus.quorum.capacity import layout_of
from consensus.quorum.parts import Span, part_count
from consensus.quorum.peers import Peer
from consensus.training.claimed import claimed_update
from consensus.training.outer import GlobalState, outer_step, update_weight
from consensus.training.step import Trainer, TrainState
from economics.networks import DEVNET_TIMES, QuorumTimes
from economics.units import Seconds
from node.errors import PeerError
from node.logs import configure
from node.modes.benchmark import measure_layer_us
from node.net.client import Network
from node.net.settings import NetSettings, StakeSource
from node.quorum import team
from node.quorum.consent import Consents
from node.quorum.doors import Doors
from node.quorum.errors import QuorumError
from node.quorum.pipeline.link import Timeouts
from node.quorum.port import NetPort
from node.quorum.service import Offer, QuorumService
from node.quorum.team import Around, Team, TeamRound
from node.quorum.teams import Teams
from node.quorum.watch import Watch
from node.storage.checkpoints import CheckpointStore

NETWORK = bytes(range(32))
REGISTRY = "0x" + "11" * 20
LOOK_SECONDS = 0.2
MICRO: Final = ModelConfig("micro", layers=4, width=32, heads=2, seq_len=32, batch=32)
"""Two micro-batches, as many parts as `tiny`, and steps that leave a machine to many processes."""
WIDE: Final = ModelConfig("wide", layers=4, width=256, heads=4, seq_len=64, batch=8)
"""An update of several chunks."""
MODELS: Final = {**PRESETS, MICRO.name: MICRO, WIDE.name: WIDE}
_COUNTED: Final = frozenset({"batches_min"})


def paced(pace: int) -> QuorumTimes:
    """The test network's times, each `pace` times as long: where many nodes share a machine, heartbeats cost."""
    times = {
        f.name: Seconds(pace * getattr(DEVNET_TIMES, f.name)) for f in fields(QuorumTimes) if f.name not in _COUNTED
    }
    return replace(DEVNET_TIMES, **times)


def start_weights(config: ModelConfig, number: int) -> dict[str, Tensor]:
    """What round ``number`` starts from."""
    return init_weights(config, b"round %d" % number)


def batch(config: ModelConfig, number: int, leader: bytes, step: int) -> Tensor:
    """Tokens int32 [batch, seq_len + 1] of a step, from round, leader and step."""
    seed = hashlib.sha256(leader + number.to_bytes(8, "big") + step.to_bytes(8, "big")).digest()
    start = int.from_bytes(seed[:4], "big")
    rows = (torch.arange(config.batch * (config.seq_len + 1)) * 7919 + start) % 251
    return rows.reshape(config.batch, -1).to(torch.int32)


def alone_state(config: ModelConfig, number: int, leader: bytes, steps: int) -> TrainState:
    """What this process alone has after a round."""
    trainer, state = Trainer(config, choose_engine(threads=1)), TrainState.start(start_weights(config, number))
    for step in range(steps):
        trainer.step(state, batch(config, number, leader, step))
    return state


def alone(config: ModelConfig, number: int, leader: bytes, steps: int) -> bytes:
    """State root after a round by this process alone, 32 bytes."""
    state = alone_state(config, number, leader, steps)
    return state_root(state.weights, state.m, state.v)


def outer_alone(config: ModelConfig, number: int, leaders: Sequence[bytes], steps: int) -> bytes:
    """Global root after the outer step over these leaders' rounds, by this process alone, 32 bytes."""
    start = GlobalState.start(start_weights(config, number))
    ends = [alone_state(config, number, leader, steps).weights for leader in leaders]
    state = outer_step(start, [(update_weight(steps), claimed_update(start.weights, end)) for end in ends])
    return global_root(state.weights, state.velocity)


class Endless:
    """Time without a chain: rounds count within a quorum, and there is always time for the first."""

    def now(self) -> int:
        """Unix seconds."""
        return int(time.time())

    def current(self) -> int:
        """No round was before the quorum's."""
        return 0

    def first_round(self, starts: int, ends: int, after: int) -> int | None:
        """The next one."""
        return after + 1


class Node:
    """The parts of a running node, and what it does round by round."""

    def __init__(self, options: argparse.Namespace, network: Network, stack: ExitStack) -> None:
        self._options, self._config = options, MODELS[options.preset]
        self._engine = choose_engine(threads=options.threads)
        self._key = NumberedAccount(options.number)
        port = NetPort(network, time.monotonic)
        doors = stack.enter_context(Doors(port.listen(team.PROTOCOL)))
        around = Around(
            port,
            doors,
            Timeouts(options.timeout, options.timeout, options.timeout, 2.0),
            options.timeout,
            blame=port.charge,
        )
        self._home = Path(options.home)
        teams = Teams(self._key.account, around, self._home / "quorums")
        signer = Consents(self._key, 31337, REGISTRY)
        self._times, self._resting = paced(options.pace), options.rounds == 0
        self._layer_us = options.layer_us
        self.service = QuorumService(port, teams, signer, self._offer, self._times, Endless())
        self._sync = Sync(self._config, port, NETWORK, self._home, stack)
        stack.enter_context(self.service)

    def _offer(self) -> Offer:
        start, stop = (int(part) for part in self._options.held.split(":"))
        layout = layout_of(self._config)
        held = None if self._resting else Span(start, stop)
        node = Peer(self._key.account, self._layer_us, 1_000, held, layout.bytes_of(Span(start, stop)))
        return Offer(node, NETWORK, layout, self._options.steps)

    def rounds(self) -> None:
        """Train rounds in one quorum after the other, until one has done all that were asked for; a node that holds the
        whole model trains them alone."""
        if not self._resting and self._options.held == f"0:{part_count(self._config.layers)}":
            for number in range(1, self._options.rounds + 1):
                _say(self._round_alone(number))
            self._resting = True
        while not self._resting:
            mine = self._team()
            census = self.service.census
            others = set(mine.plan.proposal.accounts) - {self._key.account}
            watch = Watch(others, census.all(), self._times, int(time.time()))
            try:
                for number in range(1, self._options.rounds + 1):
                    _say(self._round(mine, number))
                    self._measure()
                    self._require_fit(watch)
                self._resting = True
            except PeerError as error:
                _say({"quorum": mine.plan.id.hex(), "failed": error.message})
                self.service.teams.leave(mine.plan, error.message)

    def obey(self) -> None:
        """Commands, until the input ends: `sync` fetches the named updates and takes the outer step over them,
        `dissolve` leaves the quorum. What comes of each is a line."""
        doing: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "sync": lambda command: self._sync.outer(command["round"], start_weights, command["updates"]),
            "dissolve": lambda _: self._dissolve(),
        }
        for line in sys.stdin:
            command = json.loads(line)
            _say(doing[command["do"]](command))

    def _measure(self) -> None:
        """Between two rounds, as nothing else uses the engine: how fast this machine is now, for the next heartbeat."""
        if self._options.measure:
            self._layer_us = measure_layer_us(self._engine, self._config, time.monotonic)

    def _require_fit(self, watch: Watch) -> None:
        """Raise QuorumError where a member must be replaced: the quorum ends between two rounds, the rest form anew."""
        for account, why in watch.look(self.service.census.all(), int(time.time())).items():
            raise QuorumError(f"0x{account.hex()}: {why}.", "The others form a quorum without it.")

    def _dissolve(self) -> dict[str, Any]:
        began, plan = time.monotonic(), self.service.teams.plan
        if plan is not None:
            self.service.teams.leave(plan, "its work is done")
        self.service.beat()
        quorum = "" if plan is None else plan.id.hex()
        return {"dissolved": quorum, "seconds": round(time.monotonic() - began, 3)}

    def _round(self, mine: Team, number: int) -> dict[str, Any]:
        """One round; what came of it."""
        config, began, leader = self._config, time.monotonic(), mine.plan.leader
        leaves: list[StepLeaf] = []
        work = TeamRound(
            number,
            hashlib.sha256(b"%d" % number).digest(),
            lambda: start_weights(config, number),
            lambda step: batch(config, number, leader, step),
        )

        def take(leaf: StepLeaf) -> None:
            leaves.append(leaf)
            if self._options.tell_steps:
                _say({"step": leaf.step, "of": number, "quorum": mine.plan.id.hex()})

        with self.service.teams.training():
            mine.train(work, [], take)
        found = {"round": number, "quorum": mine.plan.id.hex(), "leader": leader.hex(), "seat": mine.place.at}
        found |= {"root": leaves[-1].state_root.hex(), "trace": Trace(leaves).root().hex()}
        found |= {"members": len(mine.plan.peers), "seconds": round(time.monotonic() - began, 2)}
        if mine.leads:
            whole = CheckpointStore(self._home / "whole", config.shapes(), state_root)
            mine.assemble(number, leaves, whole)
            end = whole.load(whole.path(number, mine.plan.steps))
            found["whole"] = end.root.hex()
            found["update"] = self._sync.publish(number, start_weights(config, number), end.groups["weights"])
        return found

    def _round_alone(self, number: int) -> dict[str, Any]:
        """One round without a quorum; what came of it."""
        began, account, start = time.monotonic(), self._key.account, start_weights(self._config, number)
        state = alone_state(self._config, number, account, self._options.steps)
        found = {"round": number, "quorum": "", "leader": account.hex(), "seat": 0, "members": 1}
        found |= {"root": state_root(state.weights, state.m, state.v).hex()}
        found |= {"update": self._sync.publish(number, start, state.weights)}
        return found | {"seconds": round(time.monotonic() - began, 2)}

    def _team(self) -> Team:
        """The quorum's team, as soon as there is a quorum."""
        while True:
            plan = self.service.teams.plan
            made = None if plan is None else self.service.teams.of_plan(plan, self)
            if made is not None:
                _say({"formed": made.plan.id.hex(), "seat": made.place.at, "members": len(made.plan.peers)})
                return made
            time.sleep(LOOK_SECONDS)  # a loop's pace

    @property
    def config(self) -> ModelConfig:
        """The model."""
        return self._config

    @property
    def engine(self) -> Engine:
        """What computes it."""
        return self._engine


def main() -> int:
    """Run the node."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--number", type=int, required=True, help="the account's private key")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--stakes", type=Path, required=True, help="JSON of stakes by account")
    parser.add_argument("--held", required=True, help="parts of the model that this node holds, as START:STOP")
    parser.add_argument("--bootstrap", default="")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--layer-us", type=int, default=5_000)
    for name, value in (("--rounds", 1), ("--steps", 4), ("--threads", 1)):
        parser.add_argument(name, type=int, default=value)
    parser.add_argument("--pace", type=int, default=1, help="how many times as long everything of a session takes")
    parser.add_argument("--measure", action="store_true", help="measure the speed between rounds and announce it")
    parser.add_argument("--tell-steps", action="store_true", help="a line for every step too")
    parser.add_argument("--timeout", type=float, default=30.0, help="seconds for a neighbour's next message")
    options = parser.parse_args()
    configure()
    set_threads(options.threads)
    settings = NetSettings(
        home=options.home,
        host=options.host,
        network=NETWORK.hex(),
        bootstrap=[options.bootstrap] if options.bootstrap else [],
        stakes=StakeSource(file=options.stakes),
    )
    with Network.start(settings, NumberedAccount(options.number)) as network, ExitStack() as stack:
        hello = {"addresses": network.addresses(), "account": NumberedAccount(options.number).address}
        _say({**hello, "peer": network.me, "peer_process": network.pid})
        node = Node(options, network, stack)
        node.rounds()
        node.obey()  # whoever started this node ends it by closing its input; until then it serves
    return 0


def _say(what: dict[str, Any]) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    sys.exit(main())
