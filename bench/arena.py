"""Disputes on a real chain: a prover that may lie, a challenger that recomputed, and the judge between them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from web3.types import TxReceipt

from consensus.commitments.batch import batch_root
from consensus.commitments.claim import Claim, ClaimKind
from consensus.commitments.tensors import global_root, set_leaves, state_root, tensor_set_root
from consensus.commitments.trace import StepLeaf, Trace
from consensus.dispute.challenger import Challenger
from consensus.dispute.game import Case, Dispute, Stage, program_of
from consensus.dispute.moves import Facts, Move, Tree
from consensus.dispute.prover import Prover
from consensus.dispute.rerun import Rerun, pieces
from consensus.model.config import ModelConfig
from consensus.program.execute import Watch
from consensus.program.known import suite_of
from consensus.program.step import PARTS, schedule_row
from consensus.training.batches import draw_offsets
from consensus.training.claimed import claimed_update
from consensus.training.growth import Transition
from consensus.training.optimizer import AdamW
from consensus.training.outer import GlobalState, update_weight
from economics.networks import DEVNET
from economics.units import Seconds, neuro
from node.chain import events, keeper
from node.chain.client import ChainClient
from node.chain.contracts import Contracts
from node.chain.deploy import Genesis, deploy
from node.chain.deployment import Deployment
from node.chain.devnet import Devnet, Running, dev_accounts
from node.chain.transport import RetryingProvider
from node.chain.types import ClaimState, Opening
from node.data.dataset import Dataset
from node.dispute.text import text_opener
from node.errors import RevertError

MICRO = ModelConfig("micro", layers=1, width=16, heads=2, seq_len=32, batch=4)
"""Every op kind of the presets, in a step that runs in a fraction of a second."""
PATIENT = replace(DEVNET, train_time=Seconds(3600), window=Seconds(3600), response=Seconds(600), thaw=Seconds(10**6))
STAKE = neuro(1000)


@dataclass
class GlobalSets:
    """A global state by part."""

    weights: dict[str, Tensor]
    velocity: dict[str, Tensor]

    @classmethod
    def of(cls, results: dict[str, Tensor]) -> GlobalSets:
        """The state among an outer step's results."""
        parts = ("weights", "velocity")
        return cls(*({n.partition("/")[2]: t for n, t in results.items() if n.startswith(f"{p}/")} for p in parts))

    def root(self) -> bytes:
        """Its state root."""
        return global_root(self.weights, self.velocity)

    def leaves(self) -> list[list[bytes]]:
        """Leaf hashes of its sets."""
        return [set_leaves(part) for part in (self.weights, self.velocity)]


@dataclass
class Sets:
    """A training state by part."""

    weights: dict[str, Tensor]
    m: dict[str, Tensor]
    v: dict[str, Tensor]

    @classmethod
    def start(cls, weights: dict[str, Tensor]) -> Sets:
        """Where a round starts: moments of zero."""
        zeros = {name: torch.zeros_like(w) for name, w in weights.items()}
        return cls(weights, zeros, dict(zeros))

    @classmethod
    def of(cls, results: dict[str, Tensor]) -> Sets:
        """The state among a step's results."""
        parts = ({n.partition("/")[2]: t for n, t in results.items() if n.startswith(f"{p}/")} for p in PARTS)
        return cls(*parts)

    def root(self) -> bytes:
        """Its state root."""
        return state_root(self.weights, self.m, self.v)

    def leaves(self) -> list[list[bytes]]:
        """Leaf hashes of its sets."""
        return [set_leaves(part) for part in (self.weights, self.m, self.v)]

    def inputs(self) -> dict[str, Tensor]:
        """As inputs of the step's program."""
        named = zip(PARTS, (self.weights, self.m, self.v), strict=True)
        return {f"{part}/{name}": t for part, tensors in named for name, t in tensors.items()}


@dataclass
class Story:
    """What one prover did in a round: the states between its steps, its leaves, and each step run again."""

    states: list[Sets]
    leaves: list[StepLeaf]
    reruns: list[Rerun]

    @property
    def update(self) -> dict[str, Tensor]:
        """What the claim over it names."""
        return claimed_update(self.states[0].weights, self.states[-1].weights)


@dataclass
class Outcome:
    """How a game ended, and what every transaction of it used."""

    prover_won: bool
    words: str
    silent: bool = False
    gas: dict[str, list[int]] = field(default_factory=dict)

    def count(self, what: str, receipt: TxReceipt) -> TxReceipt:
        """Note one transaction."""
        self.gas.setdefault(what, []).append(int(receipt["gasUsed"]))
        return receipt

    @property
    def total(self) -> int:
        """Gas of the whole dispute."""
        return sum(sum(used) for used in self.gas.values())


@dataclass
class Arena:
    """One network whose accounts 1 and on are staked; account 1 proves, account 2 challenges. ``change``: of the
    vocabulary, that its rounds end with."""

    config: ModelConfig
    dataset: Dataset
    running: Running
    deployment: Deployment
    contracts: list[Contracts]
    start: GlobalState
    randomness: bytes = b""
    change: Transition | None = None

    @property
    def prover(self) -> Contracts:
        """The contracts under the prover's account."""
        return self.contracts[1]

    @property
    def challenger(self) -> Contracts:
        """The contracts under the challenger's account."""
        return self.contracts[2]

    def rpc(self, method: str, *params: object) -> Any:
        """One raw call to the chain."""
        return keeper.rpc(self.running.port, method, *params)

    @contextmanager
    def undone(self) -> Iterator[None]:
        """Whatever happens on the chain inside is undone."""
        snapshot = self.rpc("evm_snapshot")
        try:
            yield
        finally:
            self.rpc("evm_revert", snapshot)
            # A client counts its own nonces, and these transactions have never been.
            self.contracts = bind(self.running, self.deployment, len(self.contracts))

    def advance(self, seconds: int) -> None:
        """Move the chain's clock."""
        self.rpc("evm_increaseTime", seconds)
        self.rpc("evm_mine")

    def open_round(self) -> None:
        """Open a round; its randomness decides every batch."""
        self.prover.registry.open_round()
        self.randomness = self.prover.registry.round_of(self.prover.registry.current_round()).randomness

    def offsets(self, step: int, node: bytes | None = None) -> list[int]:
        """Where the sequences of a step begin."""
        limit = self.dataset.limit(self.config.seq_len)
        who = node or bytes.fromhex(self.prover.client.address[2:])
        return draw_offsets(self.randomness, who, step, self.config.batch, limit)

    def batch(self, step: int) -> Tensor:
        """The tokens of a step."""
        rows = [self.dataset.window(at, self.config.seq_len + 1) for at in self.offsets(step)]
        return torch.from_numpy(np.stack(rows).astype(np.int32))

    def story(self, steps: int, watches: dict[int, Watch] | None = None, batch: int | None = None) -> Story:
        """Run ``steps`` steps; ``watches`` alters ops of some of them. Later steps go on honestly from the lie.

        ``batch``: a step whose tokens are those of the step after it.
        """
        program = program_of(self.config, Stage.STEP)
        states, leaves, reruns = [Sets.start(self.start.weights)], [], []
        for step in range(steps):
            tokens = self.batch(step + 1 if step == batch else step)
            given = states[-1].inputs() | {"tokens": tokens, "schedule": schedule_row(AdamW(), step)}
            rerun = Rerun(program, given, (watches or {}).get(step))
            results = rerun.results()
            states.append(Sets.of(results))
            bits = int(results["loss"].view(torch.int32)) & 0xFFFFFFFF
            leaves.append(StepLeaf(states[-1].root(), batch_root(tokens.numpy()), bits, step))
            reruns.append(rerun)
        return Story(states, leaves, reruns)

    def claim(self, story: Story, **fields: object) -> Claim:
        """The TRAIN claim over a story; ``fields`` replace any of it."""
        parameters, now = self.prover.registry.parameters(), self.prover.registry.current_round()
        values: dict[str, Any] = {
            "kind": ClaimKind.TRAIN,
            "round": now,
            "node": bytes.fromhex(self.prover.client.address[2:]),
            "program_hash": parameters.program_hash,
            "data_root": parameters.data_root,
            "start_root": self.prover.registry.global_root(),
            "end_root": story.leaves[-1].state_root,
            "trace_root": Trace(story.leaves).root(),
            "update_root": tensor_set_root(story.update),
            "steps": len(story.leaves),
            "tokens": len(story.leaves) * parameters.tokens_per_step,
            "first_layer": 0,
            "layer_count": parameters.layers,
            "base": now,
        }
        return Claim(**(values | fields))

    def facts(self, step: int, rerun: Rerun, end: Sets | None = None) -> Facts:
        """What a challenger knows besides its own run of the step."""
        moments = (tensor_set_root(end.m), tensor_set_root(end.v)) if end is not None else ()
        velocity = tensor_set_root(self.start.velocity)
        return Facts(rerun, velocity, moments, (), tuple(self.offsets(step)), text_opener(self.dataset))

    def dispute(self, claim: Claim, step: int, story: Story, trace: bytes) -> Dispute:
        """The dispute that the answer to a challenge of ``step`` opens."""
        who = bytes.fromhex(self.challenger.client.address[2:])
        if claim.kind is ClaimKind.TRAIN and step == claim.steps:
            return Dispute(claim, who, step, claim.start_root, claim.update_root, bytes(32), 0, trace)
        leaf = story.leaves[step]
        before = story.leaves[step - 1].state_root if step else claim.start_root
        return Dispute(claim, who, step, before, leaf.state_root, leaf.batch_root, leaf.loss_bits, trace)

    def play(
        self,
        case: Case,
        openings: tuple[Opening, Opening],
        facts: Facts,
        lying: Rerun,
        *,
        serves: bool = True,
        reveals: bool = True,
        after: Sets | GlobalSets | None = None,
        session: int | None = None,
    ) -> Outcome:
        """One whole game, from the claim to the ruling. ``lying`` is the step as the prover ran it.

        ``serves``: the prover's data is there to be fetched; otherwise it is demanded. ``reveals``: whether the prover
        answers demands. ``after``: the state it committed to, where that is not what its ops wrote.
        ``session``: of the quorum that the prover leads, whose claim it is.
        """
        outcome, dispute = Outcome(True, ""), case.dispute
        claim, registry = dispute.claim, self.challenger.registry
        mine = self.prover.registry
        outcome.count("commit", mine.post(claim) if session is None else mine.post_for(claim, session))
        outcome.count("challenge", registry.challenge(claim, dispute.step))
        me = self.challenger.client.address
        outcome.count("trace", self.prover.registry.answer(claim, me, *openings, dispute.trace))
        challenger, prover = Challenger(case, facts), Prover(case, lying, None if after is None else after.leaves())
        if serves:
            serve(challenger, lying, facts.rerun)
        while True:
            if outcome.silent:
                self.advance(2 * PATIENT.response)
                outcome.count("settle", self.challenger.judge.timeout(dispute))
                break
            move = challenger.next_move()
            name = "point" if move.function == "demand" else "settle"
            receipt = outcome.count(name, self.challenger.judge.move(case, move))
            outcome.words = move.words
            if move.function != "demand":
                break
            outcome.silent = not reveals
            if outcome.silent:
                continue
            try:
                outcome.count("reveal", self._reveal(prover, dispute, receipt, challenger))
            except (RevertError, IndexError):
                outcome.silent = True  # a forged tree has no such node: the prover is silent from here on
        slot = registry.claim_of("0x" + claim.node.hex())
        outcome.prover_won = slot.state is not ClaimState.LOST
        return outcome

    def _reveal(self, prover: Prover, dispute: Dispute, receipt: TxReceipt, challenger: Challenger) -> TxReceipt:
        block = int(receipt["blockNumber"])
        asked = [e for e in self.prover.judge.events(block, block) if isinstance(e, events.Demanded)][-1]
        which = Tree(asked.tree)
        number = asked.set if which is Tree.SET else asked.op
        if asked.count:
            children = prover.children(which, number, asked.level, asked.index)
            challenger.knowledge.learn_below(asked.node, children)
            return self.prover.judge.reveal(dispute, asked.node, children)
        data = prover.data(which, number, asked.index)
        challenger.knowledge.learn_data(data)
        return self.prover.judge.reveal_data(dispute, asked.node, data)


def serve(challenger: Challenger, lying: Rerun, own: Rerun) -> None:
    """Let the challenger have the prover's op trace, and the output of the first op that differs."""
    challenger.knowledge.learn_tree(lying.leaves)
    differing = next((at for at, (a, b) in enumerate(zip(lying.roots, own.roots, strict=True)) if a != b), None)
    if differing is not None:
        challenger.knowledge.learn_tree(pieces(lying.outputs([differing])[differing]))


def opening(story: Story, step: int) -> Opening:
    """A leaf of a story with its proof."""
    leaf = story.leaves[step]
    return Opening(leaf.state_root, leaf.batch_root, leaf.loss_bits, tuple(Trace(story.leaves).prove(step)))


def openings(story: Story, step: int) -> tuple[Opening, Opening]:
    """What the answer to a challenge of ``step`` opens."""
    if step == len(story.leaves):
        return Opening.empty(), Opening.empty()
    return opening(story, step - 1) if step else Opening.empty(), opening(story, step)


@contextmanager
def arena(
    folder: Path,
    config: ModelConfig,
    dataset: Dataset,
    start: GlobalState,
    accounts: int = 4,
    change: Transition | None = None,
) -> Iterator[Arena]:
    """A fresh network on a chain of its own."""
    chain = Devnet(folder, port=0, block_time=0, save_seconds=3600)
    running = chain.up()
    try:
        yield on_chain(running, config, dataset, start, accounts, change)
    finally:
        chain.down()


def on_chain(
    running: Running,
    config: ModelConfig,
    dataset: Dataset,
    start: GlobalState,
    accounts: int = 4,
    change: Transition | None = None,
) -> Arena:
    """A fresh network on a running chain; its accounts are staked and a round is open."""
    root = global_root(start.weights, start.velocity)
    genesis = Genesis(suite_of(config, change).hash(), dataset.root, root, config.tokens_per_step, config.layers)
    deployer = ChainClient(RetryingProvider(running.rpc_url, 20), dev_accounts(1)[0])
    deployment = deploy(deployer, PATIENT, genesis, deployer.address)
    contracts = bind(running, deployment, accounts)
    for one in contracts[1:]:
        contracts[0].token.transfer(one.client.address, STAKE)
        one.staking.stake_with_permit(one.token, STAKE)
    made = Arena(config, dataset, running, deployment, contracts, start, change=change)
    made.open_round()
    return made


def bind(running: Running, deployment: Deployment, accounts: int) -> list[Contracts]:
    """The network's contracts under fresh clients of the chain's first accounts."""
    provider = RetryingProvider(running.rpc_url, 20)
    clients = [ChainClient(provider, key, receipt_timeout=20) for key in dev_accounts(accounts)]
    return [Contracts.at(client, deployment) for client in clients]


def flip(op: int, element: int, bit: int) -> Watch:
    """A lie: one bit of one element of one op's output, from which everything later follows honestly."""

    def watch(at: int, out: Tensor) -> Tensor:
        if at != op:
            return out
        lie = out.clone(memory_format=torch.contiguous_format)  # one element may have any stride
        data = lie.reshape(-1).view(torch.uint8).numpy()
        width = lie.element_size()
        data[element * width + bit // 8] ^= 1 << (bit % 8)
        return lie

    return watch


def counts_of(claims: list[Claim]) -> Tensor:
    """Input ``counts`` of an outer step."""
    return torch.tensor([update_weight(claim.steps) for claim in claims], dtype=torch.int64)


__all__ = ["MICRO", "Arena", "Move", "Outcome", "Story", "arena", "flip", "on_chain", "opening", "openings", "serve"]
