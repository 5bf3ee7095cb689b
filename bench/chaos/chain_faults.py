"""The chain's endpoint is gone for a minute: `ponw run` on a real anvil, behind a proxy that refuses or is silent."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from bench.chaos.fleet import HangError
from bench.chaos.proxy import Proxy
from bench.chaos.quorum_faults import Report, verdict
from consensus.arithmetic import choose_engine
from consensus.commitments.claim import ClaimKind
from consensus.commitments.tensors import global_root
from consensus.commitments.trace import Trace
from consensus.model.config import PRESETS
from consensus.training.claimed import claimed_update
from consensus.training.outer import outer_step, update_weight
from consensus.training.step import TrainState
from economics.networks import DEVNET
from economics.units import Seconds
from node.chain import events, keeper
from node.chain.contracts import Contracts
from node.chain.devnet import Running
from node.data.dataset import Dataset
from node.demo.network import DemoNetwork, Member
from node.training.ledger import Ledger, RoundView
from node.training.snapshot import read_snapshot
from node.training.work import Task, Workshop

DOWN_SECONDS: Final = 60.0
STEPS: Final = 60
LIMIT: Final = 60.0
"""Seconds from the endpoint's return until every claim stands: a request may hang for `rpc_timeout` (20 s) and be
begun anew within as much, then two of the loop's looks follow."""
PATIENCE: Final = 400.0
TIMES: Final = replace(DEVNET, train_time=Seconds(3_600), window=Seconds(3_600), thaw=Seconds(36_000))
"""No phase ends by itself: the case moves the chain's clock."""


class World:
    """A chain, its contracts, a proxy before it, and two nodes that only know the proxy."""

    def __init__(self, network: DemoNetwork, running: Running, proxy: Proxy) -> None:
        network.build_data()
        self.network, self.running = network, running
        self.shop = Workshop(PRESETS["tiny"], choose_engine(threads=1), Dataset.open(network.data))
        self.contracts: Contracts = network.deploy(running, self.shop.genesis(), TIMES)
        self.nodes = [
            network.add(name, "honest", running, rpc_url=proxy.url, round_steps=STEPS) for name in ("alice", "bob")
        ]
        network.stake(self.contracts)
        self.ledger = Ledger(self.contracts, network.deployment().block)

    def wait(self, what: str, condition: Callable[[], bool], seconds: float = PATIENCE) -> float:
        """Seconds until something is so; raises HangError."""
        began = time.monotonic()
        while not condition():
            if any(node.failed() for node in self.nodes):
                logs = [(node.home / "node.log").read_text()[-600:] for node in self.nodes]
                raise HangError(f"a node ended before {what}: {logs}")
            if time.monotonic() - began > seconds:
                raise HangError(f"no {what} in {seconds:.0f} s")
            time.sleep(0.05)  # the pace of asking
        return time.monotonic() - began

    def jump(self) -> None:
        """To the end of the phase."""
        keeper.rpc(self.running.port, "evm_increaseTime", TIMES.train_time + 1)

    def posted(self) -> list[events.ClaimPosted]:
        """Every claim ever posted."""
        newest = self.contracts.client.block().number
        found = self.contracts.registry.events(self.network.deployment().block, newest)
        return [event for event in found if isinstance(event, events.ClaimPosted)]

    def trains(self) -> int:
        """TRAIN claims that stand."""
        return len(self.ledger.look().trains)

    def finish(self) -> None:
        """Take the round to its end, and wait until both nodes have closed it and stopped."""
        self.wait("a window", lambda: self.jumped("window"))
        self.close()

    def close(self) -> None:
        """From the window on."""
        self.wait("an outer step", lambda: self.jumped("outer_window"))
        self.jump()
        self.wait("the nodes' end", lambda: all(n.process is not None and n.process.poll() == 0 for n in self.nodes))

    def jumped(self, phase: str) -> bool:
        """Whether the chain is in a phase that both nodes have seen; moves its clock on where it waits."""
        now = self.ledger.look().phase.name.lower()
        if now in ("train", "window") and now != phase:
            self.jump()
            keeper.rpc(self.running.port, "evm_mine")
        return now == phase and all(phase_of(node) == phase for node in self.nodes)


def phase_of(node: Member) -> str:
    """What a node last saw."""
    now = read_snapshot(node.home)
    return "" if now is None else now.phase


def steps_of(node: Member) -> int:
    """How far a node has trained."""
    now = read_snapshot(node.home)
    return 0 if now is None else now.step


def undisturbed(world: World, view: RoundView) -> Report:
    """Whether every claim and the outer step are what one process computes that nothing disturbs."""
    shop, start = world.shop, world.shop.genesis_state()
    updates, right = [], True
    for final in view.finals:
        state = TrainState.start(dict(start.weights))
        task = Task(view.info.randomness, bytes.fromhex(final.node[2:]))
        leaves = list(shop.steps(state, task, final.claim.steps))
        right &= final.claim.trace_root == Trace(leaves).root() and final.claim.end_root == leaves[-1].state_root
        updates.append((update_weight(final.claim.steps), claimed_update(start.weights, state.weights)))
    after = outer_step(start, updates)
    root = global_root(after.weights, after.velocity)
    posted: dict[tuple[str, int, ClaimKind], int] = {}
    for event in world.posted():
        key = (event.node, event.claim.round, event.claim.kind)
        posted[key] = posted.get(key, 0) + 1
    return {
        "claims_final": len(view.finals) == len(world.nodes),
        "roots_of_one_process": right and view.outer is not None and view.outer.claim.end_root == root,
        "no_double_claim": max(posted.values()) == 1,
    }


def endpoint_down(folder: Path, cut: Callable[[Proxy], None], ready: Callable[[World, Proxy], bool]) -> Report:
    """Two nodes train; once `ready`, the endpoint is cut for a minute. Then both claims come, and the round closes."""
    with DemoNetwork(folder, rounds=1) as network:
        running = network.start_chain()
        with Proxy(running.port) as proxy:
            world = World(network, running, proxy)
            for node in world.nodes:
                node.start()
            world.wait("the moment to cut", lambda: ready(world, proxy))
            cut(proxy)
            time.sleep(DOWN_SECONDS)  # the fault's own length
            before = world.trains()
            alive = all(node.process is not None and node.process.poll() is None for node in world.nodes)
            trained = min(steps_of(node) for node in world.nodes)
            proxy.heal()
            recovery = world.wait("two claims", lambda: world.trains() == 2, LIMIT)
            world.finish()
            view = world.ledger.look(1)
            found = undisturbed(world, view) | {"nobody_stopped": alive}
            more: dict[str, Any] = {"down_s": DOWN_SECONDS, "claims_while_down": before, "steps_while_down": trained}
            return verdict(recovery, LIMIT, found, **more)


def training(world: World, _: Proxy) -> bool:
    """Both nodes are in the middle of their round."""
    return all(steps_of(node) >= 10 for node in world.nodes)


def posting(world: World, proxy: Proxy) -> bool:
    """The first transaction of the round's training has just gone out, and its answer will not come."""
    if training(world, proxy) and not proxy.silent_after:
        proxy.silent_after = b"eth_sendRawTransaction"
    return proxy.silent


def refused(folder: Path) -> Report:
    """Connections are refused from the middle of the training on."""
    return endpoint_down(folder, Proxy.refuse, training)


def silent(folder: Path) -> Report:
    """Nothing is answered from the middle of the training on."""
    return endpoint_down(folder, Proxy.hush, training)


def silent_after_sending(folder: Path) -> Report:
    """The endpoint takes a claim's transaction, and is silent from there on: does it stand? The sender cannot know."""
    return endpoint_down(folder, Proxy.hush, posting)


def killed_in_outer_step(folder: Path) -> Report:
    """A node is killed in the outer phase, while each takes the other's update, and started again: the round closes."""
    with DemoNetwork(folder, rounds=1) as network:
        running = network.start_chain()
        with Proxy(running.port) as proxy:
            world = World(network, running, proxy)
            alice = world.nodes[0]
            for node in world.nodes:
                node.start()
            world.wait("two claims", lambda: world.trains() == 2)
            world.wait("a window", lambda: world.jumped("window"))
            world.wait("the outer phase", lambda: world.jumped("outer_window") or phase_of(alice) == "outer")
            since, at = time.monotonic(), world.ledger.look().phase.name.lower()
            if alice.process is not None:
                alice.process.kill()
                alice.process.wait()
            alice.start()
            world.close()
            recovery = time.monotonic() - since
            found = undisturbed(world, world.ledger.look(1))
            return verdict(recovery, PATIENCE, found, killed_in=at)


CASES: Final[dict[str, Callable[[Path], Report]]] = {
    "chain_rpc_refused": refused,
    "chain_rpc_silent": silent,
    "chain_rpc_silent_after_sending": silent_after_sending,
    "node_killed_in_outer_step": killed_in_outer_step,
}
