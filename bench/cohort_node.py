"""One contributor of a cohort over the real peer network, without a chain: a member of a quorum that forms by the
rules, or an async node that trains alone. It says what it does as JSON, one line each.

An async node can go offline for a round (--offline N): it hangs up, trains, comes back, fetches the state that the
others have by then, and contributes late. A liar (--lie N) announces an update that its encoding is not.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import os
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from torch import Tensor

from bench.accounts import NumberedAccount
from bench.counted import CountedPort, Tally, tcp_sent
from bench.quorum_node import Endless
from consensus.arithmetic import choose_engine, set_threads
from consensus.commitments.tensors import global_root
from consensus.commitments.trace import StepLeaf
from consensus.model.config import PRESETS, ModelConfig
from consensus.model.init import init_weights
from consensus.quorum.capacity import layout_of
from consensus.quorum.parts import Span, part_count
from consensus.quorum.peers import Peer
from consensus.training.optimizer import AdamW
from consensus.training.outer import GlobalState
from consensus.training.step import Trainer, TrainState
from economics.constants import STALE_HEARTBEATS
from economics.networks import DEVNET_TIMES, QuorumTimes
from economics.units import Seconds
from node.cohort.contribution import CODECS, Opening, names_of
from node.cohort.deciding import BehindError, Deadlines
from node.cohort.errors import CohortError
from node.cohort.member import Cohort, Place, Settled
from node.cohort.sealing import Seals
from node.cohort.standing import Standing
from node.data.dataset import Dataset
from node.logs import configure
from node.net.client import Network
from node.net.settings import NetSettings, StakeSource
from node.net.wire.common_pb2 import Versions
from node.quorum import team
from node.quorum.consent import Consents
from node.quorum.doors import Doors
from node.quorum.pipeline.link import Timeouts
from node.quorum.service import Offer, QuorumService
from node.quorum.team import Around, Team, TeamRound
from node.quorum.teams import Teams
from node.storage.tensorfile import load_tensors
from node.training.batch import draw_batch
from node.training.work import GENESIS_SEED, Workshop

NETWORK = bytes(range(32))
REGISTRY = "0x" + "11" * 20
LOOK_SECONDS = 0.2
MODELS = {"micro": ModelConfig("micro", layers=2, width=16, heads=2, seq_len=32, batch=4), "tiny": PRESETS["tiny"]}
MODELS["mini"] = ModelConfig("mini", layers=2, width=64, heads=2, seq_len=64, batch=8)


def paced(heartbeat: int) -> QuorumTimes:
    """The test network's times at another heartbeat, with sessions that outlast every run."""
    long, beat = Seconds(7200), Seconds(heartbeat)
    silent = Seconds(STALE_HEARTBEATS * heartbeat)
    times = dataclasses.replace(DEVNET_TIMES, heartbeat=beat, offline=silent, join=Seconds(3 * heartbeat))
    return dataclasses.replace(times, session=long, session_small=long, session_max=Seconds(2 * long))


def randomness(number: int) -> bytes:
    """Of a round, 32 bytes."""
    return hashlib.sha256(b"cohort bench %d" % number).digest()


def start_weights(config: ModelConfig, warm: Path | None) -> dict[str, Tensor]:
    """What the first round opens with: the network's initial weights, or those in a file."""
    if warm is None:
        return init_weights(config, GENESIS_SEED)
    return load_tensors(warm, config.shapes()).tensors


class Node:
    """The parts of a running contributor."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.config = options, MODELS[options.model]
        self.engine = choose_engine(threads=1)
        self.dataset = Dataset.open(options.data)
        self.key = NumberedAccount(options.number)
        self.tally, self.home = Tally(), Path(options.home)
        self.stack = ExitStack()
        self.whole = options.mode == "async"
        self.optimizer = AdamW(lr=options.rate)

    # --- being there ---

    def connect(self) -> None:
        """Join the network, and the cohort once this node knows which parts are its."""
        options = self.options
        settings = NetSettings(
            home=options.home,
            network=NETWORK.hex(),
            bootstrap=[options.bootstrap] if options.bootstrap else [],
            stakes=StakeSource(file=options.stakes),
        )
        self.network = self.stack.enter_context(Network.start(settings, self.key))
        say({"addresses": self.network.addresses(), "peer": self.network.me, "pid": self.network.pid})
        port = CountedPort(self.network, time.monotonic, self.tally)
        doors = self.stack.enter_context(Doors(port.listen(team.PROTOCOL)))
        around = Around(port, doors, Timeouts(300.0, 300.0, 300.0, 2.0), 60.0, blame=port.charge)
        self.teams = Teams(self.key.account, around, self.home / "quorums", optimizer=self.optimizer)
        signer = Consents(self.key, 31337, REGISTRY)
        self.service = QuorumService(port, self.teams, signer, self.offer, paced(options.heartbeat), Endless())
        self.stack.enter_context(self.service)
        self.team = None if self.whole else self._team()
        span = Span(0, part_count(self.config.layers))
        if self.team is not None:
            span = self.team.plan.proposal.seats[self.team.place.at].span
        self.cohort = self.stack.enter_context(self._cohort(port, span))

    def offer(self) -> Offer:
        """What this node says of itself; an async node is too slow for any quorum."""
        start, stop = (int(part) for part in self.options.held.split(":"))
        layout, span = layout_of(self.config), Span(start, stop)
        slow = 2_000_000 if self.whole else 5_000
        node = Peer(self.key.account, slow, 1_000, span, layout.bytes_of(span))
        return Offer(node, NETWORK, layout, self.options.steps, mode=self.options.mode)

    def _team(self) -> Team:
        while True:
            plan = self.teams.plan
            made = None if plan is None else self.teams.of_plan(plan, self)
            if made is not None:
                say({"quorum": made.plan.id.hex(), "leader": made.plan.leader.hex(), "seat": made.place.at})
                return made
            time.sleep(LOOK_SECONDS)  # a loop's pace

    def _cohort(self, port: CountedPort, span: Span) -> Cohort:
        options, config = self.options, self.config
        seals = Seals(self.key, NETWORK, 31337, REGISTRY)
        start = GlobalState.start(start_weights(config, options.warm))
        opening = Opening(global_root(start.weights, start.velocity), options.genesis)
        names = names_of(config, span)
        own = GlobalState(*({n: part[n] for n in names} for part in (start.weights, start.velocity)))
        voters = tuple(sorted(NumberedAccount(int(number)).account for number in options.voters.split(",")))
        deadlines = Deadlines(collect=options.collect, view=options.view, ask=options.ask, round=options.give_up)
        codec = next(codec for codec in CODECS.values() if type(codec).__name__.lower() == options.codec)
        place = Place(config, span, Versions(network=NETWORK), codec, self.home / "cohort", deadlines)
        return Cohort(
            place,
            port,
            self.service.census,
            seals,
            Standing(1, own, {1: opening}, voters),
            self._ban,
            lambda: int(time.time()),
        )

    def _ban(self, account: bytes, reason: str) -> None:
        seen = self.service.census.all().get(account)
        if seen is not None:
            self.network.ban(seen.peer, reason)

    def hang_up(self) -> None:
        """Leave the network; what is on disk stays."""
        self.stack.close()

    # --- working ---

    def rounds(self) -> None:
        """Contribute until the last round is settled here."""
        options = self.options
        while self.cohort.standing.number <= options.rounds:
            base, began = self.cohort.standing.number, time.monotonic()
            start = dict(self.cohort.standing.state.weights)
            away = base == options.offline
            if away:
                self.hang_up()
                say({"offline": base})
            end = self._alone(base, start) if self.team is None else self._together(base, start, self.team)
            if away:
                self.wait_for_go()
                self.connect()
            trained = time.monotonic() - began
            if base not in {one.base for one in self.cohort.outbox.pending}:
                plan = None if self.team is None else self.team.plan
                self.cohort.contribute(base, start, end, options.steps, plan)
            if base == options.lie:
                self._spoil(base)
            self._settle_on(base, trained)

    def _settle_on(self, base: int, trained: float) -> None:
        """See rounds through until the one that was trained for is over."""
        while self.cohort.standing.number <= min(base, self.options.rounds) or self.cohort.outbox.pending:
            try:
                if self.cohort.catch_up():
                    say({"caught_up": self.cohort.standing.number, "root": self.cohort.standing.opening.root.hex()})
            except CohortError as error:
                say({"failed": error.message})
            try:
                settled = self.cohort.settle()
            except BehindError as error:
                say({"behind": error.message})
                continue
            except CohortError as error:
                say({"failed": error.message})
                continue
            self._tell(settled, trained)
            if self.cohort.standing.number > self.options.rounds:
                return

    def wait_for_go(self) -> None:
        """Stay away until whoever started this node says so by a line."""
        sys.stdin.buffer.readline()

    def _spoil(self, base: int) -> None:
        """What the header names is not what its encoding decodes to."""
        outbox = self.cohort.outbox
        outbox.pending = [
            one.model_copy(update={"update_root": "ff" * 32}) if one.base == base else one for one in outbox.pending
        ]

    def _alone(self, number: int, start: dict[str, Tensor]) -> dict[str, Tensor]:
        trainer, state = Trainer(self.config, self.engine, self.optimizer), TrainState.start(start)
        for step in range(self.options.steps):
            trainer.step(state, self.batch(number, self.key.account, step))
        return state.weights

    def _together(self, number: int, start: dict[str, Tensor], mine: Team) -> dict[str, Tensor]:
        leaves: list[StepLeaf] = []
        batch = lambda step: self.batch(number, mine.plan.leader, step)  # noqa: E731
        work = TeamRound(number, self.cohort.standing.opening.root, lambda: start, batch)
        mine.train(work, [], leaves.append)
        return dict(mine.trained_stage(number).groups["weights"])

    def batch(self, number: int, account: bytes, step: int) -> Tensor:
        """Tokens of a step."""
        return draw_batch(self.config, self.dataset, randomness(number), account, step)

    def _tell(self, settled: Settled, trained: float) -> None:
        found: dict[str, Any] = {"round": settled.number, "root": settled.root.hex(), "trained": round(trained, 2)}
        found["counted"] = [[source.hex(), base, weight] for source, base, weight in settled.counted]
        found |= {"settled": round(settled.seconds, 2), "sent": self.tally.now(), "tcp": tcp_sent(self.network.pid)}
        found["faults"] = [[account.hex(), code] for account, code, _ in self.cohort.faults.reasons]
        if self.whole:
            weights = self.cohort.standing.state.weights
            found["loss"] = Workshop(self.config, self.engine, self.dataset).heldout_loss(weights)
        say(found)


def say(what: dict[str, Any]) -> None:
    """One line for whoever started this node."""
    print(json.dumps(what), flush=True)


def _end_with(failure: threading.ExceptHookArgs) -> None:
    """A thread that dies ends the process, so that whoever started it learns why at once."""
    threading.__excepthook__(failure)
    os._exit(1)


def main() -> int:
    """Run the node."""
    threading.excepthook = _end_with
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--number", type=int, required=True, help="the account's private key")
    for name in ("--home", "--stakes", "--data"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--warm", type=Path, default=None, help="weights that the first round opens with")
    parser.add_argument("--held", required=True, help="parts of the model that this node holds, as START:STOP")
    parser.add_argument("--mode", choices=["pipeline", "async"], default="pipeline")
    parser.add_argument("--voters", required=True, help="private keys of the first round's voters, 1,2,3")
    parser.add_argument("--genesis", type=int, required=True, help="Unix seconds at which the first round opens")
    parser.add_argument("--bootstrap", default="")
    parser.add_argument("--model", choices=sorted(MODELS), default="micro")
    parser.add_argument("--codec", default="int8")
    parser.add_argument("--rate", type=float, default=AdamW().lr, help="of the inner optimizer")
    for name, value in (("--rounds", 2), ("--steps", 4), ("--offline", 0), ("--lie", 0), ("--heartbeat", 2)):
        parser.add_argument(name, type=int, default=value)
    for option, seconds in (("--collect", 120.0), ("--view", 20.0), ("--ask", 5.0), ("--give-up", 900.0)):
        parser.add_argument(option, type=float, default=seconds)
    options = parser.parse_args()
    configure()
    set_threads(1)
    node = Node(options)
    with node.stack:
        node.connect()
        with node.teams.training():  # a quorum stays together from its first round to its last, settling included
            node.rounds()
        say({"done": True})
        sys.stdin.buffer.read()  # whoever started this node ends it by closing its input; until then it serves
    return 0


if __name__ == "__main__":
    sys.exit(main())
