"""A signed answer judged by one scalar on a real chain: an honest server wins, one that lies loses its bond."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from eth_account import Account
from eth_utils.address import to_checksum_address
from torch import Tensor
from web3.contract import Contract
from web3.types import TxReceipt

from bench.arena import MICRO, flip
from consensus.commitments.claim import Claim, claim_hash
from consensus.commitments.levels import Levels
from consensus.commitments.tensors import global_root, tensor_set_root
from consensus.commitments.trace import StepLeaf
from consensus.dispute.answers import Answer, answer_dispute
from consensus.dispute.challenger import Challenger
from consensus.dispute.game import Case, Dispute
from consensus.dispute.moves import Facts, Move, NothingWrongError, Tree
from consensus.dispute.prover import Prover
from consensus.dispute.rerun import Rerun, pieces
from consensus.inference.answer import recompute
from consensus.inference.decoding import Definition
from consensus.inference.sampling import Settings
from consensus.model.init import init_weights
from consensus.program.execute import Watch
from consensus.program.infer import infer_program
from consensus.program.ops import Kind
from economics.constants import ANSWER_WINDOW, CHALLENGE_BOND, CLAIM_BOND
from economics.units import neuro
from node.chain import keeper
from node.chain.client import ChainClient
from node.chain.deploy import create_address
from node.chain.devnet import Devnet, dev_accounts
from node.chain.transport import RetryingProvider
from node.errors import PonwError

BUILT = Path(__file__).resolve().parents[2] / "contracts" / "out"
STAKE, MINIMUM = neuro(1000), neuro(100)
RESPONSE, EXTENSION, WINDOW, THAW = 600, 60, int(ANSWER_WINDOW), 10**6
NOBODY = "0x" + "00" * 20
PROMPT, TOKENS, STEP = (72, 101, 108, 108, 111), 6, 3
WEIGHTS = {name: w * 4.0 for name, w in init_weights(MICRO, b"answers").items()}
WEIGHTS["head"] = WEIGHTS["embed"].flip(0).contiguous()  # a fresh model's is zero: every id alike
VELOCITY = {name: torch.zeros_like(w) for name, w in WEIGHTS.items()}
SETTINGS = Settings(900, 10_000, bytes(range(32)))


def honest() -> Answer:
    given = recompute(Definition(MICRO, WEIGHTS, 1), PROMPT, SETTINGS, TOKENS, stop_at_eos=False)
    return Answer(MICRO, global_root(WEIGHTS, VELOCITY), bytes([9]) * 32, PROMPT, SETTINGS, tuple(given))


@dataclass
class Court:
    """The contracts of a network with a court, under each account: 0 deploys, 1 serves, 2 accuses."""

    port: int
    clients: list[ChainClient]
    addresses: dict[str, str]

    def at(self, name: str, who: int) -> Contract:
        address = to_checksum_address(self.addresses[name])
        return self.clients[who].web3.eth.contract(address=address, abi=_built(name)["abi"])

    def call(self, name: str, who: int, function: str, *arguments: object) -> TxReceipt:
        return self.clients[who].send(getattr(self.at(name, who).functions, function)(*arguments), function)

    def read(self, name: str, function: str, *arguments: object) -> Any:
        return getattr(self.at(name, 0).functions, function)(*arguments).call()

    def rpc(self, method: str, *parameters: object) -> Any:
        return keeper.rpc(self.port, method, *parameters)

    def advance(self, seconds: int) -> None:
        self.rpc("evm_increaseTime", seconds)
        self.rpc("evm_mine")

    @property
    def now(self) -> int:
        return self.clients[0].block().timestamp

    def bytes_of(self, who: int) -> bytes:
        return bytes.fromhex(self.clients[who].address[2:])

    def sign(self, claim: Claim, who: int = 1, chain_id: int | None = None) -> bytes:
        court = bytes.fromhex(self.addresses["AnswerCourt"][2:])
        digest = claim_hash(claim, chain_id or self.clients[0].chain_id, court)
        return bytes(Account.unsafe_sign_hash(digest, dev_accounts(3)[who].key).signature)

    def stake_of(self, who: int) -> tuple[int, int, int]:
        """Active, locked, credit."""
        address = self.clients[who].address
        account = self.read("Staking", "accountOf", address)
        return account[0], account[1], self.read("Staking", "creditOf", address)


def _built(name: str) -> dict[str, Any]:
    return dict(json.loads((BUILT / f"{name}.sol" / f"{name}.json").read_text()))


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Court]:
    chain = Devnet(tmp_path_factory.mktemp("court"), port=0, block_time=0, save_seconds=3600)
    running = chain.up()
    try:
        clients = [ChainClient(RetryingProvider(running.rpc_url, 20), key) for key in dev_accounts(3)]
        yield deploy(running.port, clients)
    finally:
        chain.down()


def deploy(port: int, clients: list[ChainClient]) -> Court:
    deployer = clients[0]
    names = ("NeuroToken", "Staking", "Scalar", "Judge", "AnswerCourt")
    nonce = deployer.next_nonce()
    at = {name: create_address(deployer.address, nonce + i) for i, name in enumerate(names)}
    arguments: dict[str, tuple[object, ...]] = {
        "NeuroToken": (NOBODY, deployer.address, neuro(10**6), neuro(10**7)),
        "Staking": (at["NeuroToken"], NOBODY, NOBODY, at["AnswerCourt"], NOBODY, MINIMUM, THAW),
        "Scalar": (at["AnswerCourt"],),
        "Judge": (at["AnswerCourt"], at["Scalar"], RESPONSE, EXTENSION),
        "AnswerCourt": (at["Staking"], at["Judge"], (CLAIM_BOND, CHALLENGE_BOND, WINDOW, RESPONSE)),
    }
    for name in names:
        built = _built(name)
        made = deployer.web3.eth.contract(abi=built["abi"], bytecode=built["bytecode"]["object"])
        assert deployer.create(made.constructor(*arguments[name]), name) == at[name]
    court = Court(port, clients, at)
    for who in (1, 2):
        court.call("NeuroToken", 0, "transfer", clients[who].address, STAKE)
        court.call("NeuroToken", who, "approve", at["Staking"], STAKE)
        court.call("Staking", who, "stake", STAKE)
    return court


@pytest.fixture
def court(network: Court) -> Iterator[Court]:
    """Whatever a test does is undone."""
    snapshot = network.rpc("evm_snapshot")
    yield network
    network.rpc("evm_revert", snapshot)
    for client in network.clients:
        client.next_nonce()


@dataclass
class Play:
    """One game: what the server signed, how it ran the accused token, and what its accuser recomputed."""

    court: Court
    claim: Claim
    leaves: tuple[StepLeaf, ...]
    lying: Rerun
    right: Answer
    serves: bool = True
    reveals: bool = True

    def run(self) -> tuple[str, int]:
        """The accuser's last move, and the gas of all."""
        court, used = self.court, []
        leaf, me = self.leaves[STEP], court.clients[2].address
        used.append(court.call("AnswerCourt", 2, "accuse", self.claim.to_tuple(), court.sign(self.claim), STEP))
        proof = Levels([one.hash() for one in self.leaves]).prove(0, STEP)
        opened = (leaf.state_root, leaf.batch_root, leaf.loss_bits, proof)
        trace = self.lying.trace.root
        used.append(court.call("AnswerCourt", 1, "answer", self.claim.to_tuple(), me, opened, trace))
        dispute = answer_dispute(self.claim, court.bytes_of(2), leaf, trace)
        move = self._moves(dispute, used)
        return move, sum(int(receipt["gasUsed"]) for receipt in used)

    def _moves(self, dispute: Dispute, used: list[TxReceipt]) -> str:
        case = Case(MICRO, dispute)
        own = Rerun(infer_program(MICRO), self.right.inputs(WEIGHTS, STEP))
        facts = Facts(own, tensor_set_root(VELOCITY), prompt=PROMPT, answered=self.leaves)
        challenger, prover = Challenger(case, facts), Prover(case, self.lying)
        if self.serves:
            self._serve(challenger, own)
        while True:
            move = challenger.next_move()
            receipt = self.court.call("Judge", 2, move.function, dispute.to_tuple(), case.to_tuple(), move.argument)
            used.append(receipt)
            if move.function != "demand":
                return move.function
            if not self.reveals:
                self.court.advance(2 * RESPONSE)
                used.append(self.court.call("Judge", 2, "timeout", dispute.to_tuple()))
                return "timeout"
            used.append(self._reveal(prover, dispute, receipt, challenger))

    def _serve(self, challenger: Challenger, own: Rerun) -> None:
        challenger.knowledge.learn_tree(self.lying.leaves)
        pairs = zip(self.lying.roots, own.roots, strict=True)
        differing = next((at for at, (a, b) in enumerate(pairs) if a != b), None)
        if differing is not None:
            challenger.knowledge.learn_tree(pieces(self.lying.outputs([differing])[differing]))

    def _reveal(self, prover: Prover, dispute: Dispute, receipt: TxReceipt, challenger: Challenger) -> TxReceipt:
        (event,) = self.court.at("Judge", 0).events.Demanded().process_receipt(receipt)
        asked = event["args"]
        which = Tree(asked["tree"])
        if asked["count"]:
            children = prover.children(which, asked["op"], asked["level"], asked["index"])
            challenger.knowledge.learn_below(asked["node"], children)
            return self.court.call("Judge", 1, "reveal", dispute.to_tuple(), asked["node"], children)
        data = prover.data(which, asked["op"], asked["index"])
        challenger.knowledge.learn_data(data)
        return self.court.call("Judge", 1, "revealData", dispute.to_tuple(), asked["node"], data)


def server_lost(court: Court) -> bool:
    (mine, locked, _), (theirs, bond, credit) = court.stake_of(1), court.stake_of(2)
    assert (locked, bond) == (0, 0)
    assert theirs == STAKE
    assert (mine, credit) in {(STAKE, 0), (STAKE - 2 * CLAIM_BOND, CLAIM_BOND)}
    return mine != STAKE


def game(
    court: Court, watch: Watch | None = None, leaf: StepLeaf | None = None, given: dict[str, Tensor] | None = None
) -> Play:
    """A game about token STEP of an answer whose server ran it with ``watch`` or on other inputs ``given``."""
    right = honest()
    lying = Rerun(infer_program(MICRO), right.inputs(WEIGHTS, STEP) | (given or {}), watch)
    token = int(lying.results()["token"])
    leaves = list(right.leaves())
    leaves[STEP] = leaf or replace(leaves[STEP], loss_bits=token & 0xFFFFFFFF)
    claim = right.claim(court.bytes_of(1), court.now, leaves)
    return Play(court, claim, tuple(leaves), lying, right)


def test_the_first_wrong_token_is_found() -> None:
    right = honest()
    decoder = Definition(MICRO, WEIGHTS, 1)
    assert right.first_wrong(decoder) is None
    wrong = (*right.tokens[:2], right.tokens[2] ^ 1, *right.tokens[3:])
    assert replace(right, tokens=wrong).first_wrong(decoder) == 2


def test_against_a_right_answer_there_is_no_move_and_the_accuser_pays(court: Court) -> None:
    play = game(court)
    with pytest.raises(NothingWrongError):
        play.run()
    court.advance(2 * RESPONSE)
    dispute = answer_dispute(play.claim, court.bytes_of(2), play.leaves[STEP], play.lying.trace.root)
    court.call("Judge", 1, "timeout", dispute.to_tuple())
    assert court.stake_of(1) == (STAKE, 0, CHALLENGE_BOND // 2)
    assert court.stake_of(2) == (STAKE - CHALLENGE_BOND, 0, 0)


def test_every_true_proof_is_refused_against_a_right_answer(court: Court) -> None:
    play = game(court)
    with pytest.raises(NothingWrongError):
        play.run()
    dispute = answer_dispute(play.claim, court.bytes_of(2), play.leaves[STEP], play.lying.trace.root)
    for lie in LIES:
        with pytest.raises(PonwError):
            _copied(court, dispute, lie)


def _copied(court: Court, dispute: Dispute, lie: str) -> None:
    """The proof that wins against ``lie``, in the game against the right answer."""
    made = LIES[lie](court)
    own = Rerun(infer_program(MICRO), made.right.inputs(WEIGHTS, STEP))
    facts = Facts(own, tensor_set_root(VELOCITY), prompt=PROMPT, answered=made.leaves)
    other = answer_dispute(made.claim, court.bytes_of(2), made.leaves[STEP], made.lying.trace.root)
    challenger = Challenger(Case(MICRO, other), facts)
    made._serve(challenger, own)
    move: Move = challenger.next_move()
    case = Case(MICRO, dispute)
    court.call("Judge", 2, move.function, dispute.to_tuple(), case.to_tuple(), move.argument)


def op_of(kind: Kind, size: int) -> int:
    """The last op of a kind with so many elements."""
    return max(at for at, op in enumerate(infer_program(MICRO).ops) if op.kind is kind and op.size == size)


def another_context(court: Court, place: int) -> Play:
    """The server decoded from a context with one id altered, and says so in its leaf."""
    tokens = honest().inputs(WEIGHTS, STEP)["tokens"].clone()
    tokens[0, place] += 1
    play = game(court, given={"tokens": tokens})
    root = play.lying.roots[infer_program(MICRO).inputs["tokens"]]
    return game(court, leaf=replace(play.leaves[STEP], batch_root=root), given={"tokens": tokens})


def another_token(court: Court) -> Play:
    right = honest().leaves()[STEP]
    return game(court, leaf=replace(right, loss_bits=(right.loss_bits + 1) % 256))


def with_input(name: str, tensor: Tensor) -> Callable[[Court], Play]:
    return lambda court: game(court, given={name: tensor})


LIES: dict[str, Callable[[Court], Play]] = {
    "the token": another_token,
    "one logit": lambda court: game(court, flip(op_of(Kind.MUL, MICRO.vocab), 5, 20)),
    "the sum of weights": lambda court: game(court, flip(op_of(Kind.INT_SUM, 1), 0, 0)),
    "a rank": lambda court: game(court, flip(op_of(Kind.INT_SUM, MICRO.vocab), 7, 3)),
    "a token of the prompt": lambda court: another_context(court, 2),
    "a token of the answer": lambda court: another_context(court, len(PROMPT) + 1),
    "a token beyond": lambda court: another_context(court, len(PROMPT) + STEP + 2),
    "another context than it names": with_input("tokens", torch.ones(1, MICRO.seq_len, dtype=torch.int32)),
    "the draw": with_input("draw", torch.tensor([1, 2, 3, 4], dtype=torch.int32)),
    "the length": with_input("length", torch.tensor([len(PROMPT)], dtype=torch.int32)),
    "the temperature": with_input("factor", torch.tensor([0.5])),
    "the weights": with_input("weights/head", WEIGHTS["head"] * 2.0),
}
PROOFS = {
    "the token": "proveOutput",
    "a token of the prompt": "proveContext",
    "a token of the answer": "proveContext",
    "a token beyond": "proveContext",
    **dict.fromkeys(("the draw", "the length", "the temperature", "the weights"), "proveInput"),
    **dict.fromkeys(("one logit", "the sum of weights", "a rank"), "proveElement"),
    "another context than it names": "proveInput",
}


@pytest.mark.parametrize("lie", LIES)
def test_a_server_that_lies_loses_twice_its_bond(court: Court, lie: str) -> None:
    move, _ = LIES[lie](court).run()
    assert move == PROOFS[lie]
    assert server_lost(court)


def test_a_trace_that_nobody_serves_is_demanded(court: Court) -> None:
    play = LIES["a rank"](court)
    play.serves = False
    assert play.run()[0] == "proveElement"
    assert server_lost(court)


def test_a_server_that_withholds_its_trace_loses(court: Court) -> None:
    play = LIES["one logit"](court)
    play.serves = play.reveals = False
    assert play.run()[0] == "timeout"
    assert server_lost(court)


def test_a_whole_dispute_of_an_answer_is_cheap(court: Court) -> None:
    _, gas = LIES["one logit"](court).run()
    assert gas < 460_000, "443,293 on 2026-11-25; see docs/DISPUTE.md"


def test_what_the_server_did_not_sign_is_refused(court: Court) -> None:
    claim = honest().claim(court.bytes_of(1), court.now)
    signature = court.sign(claim)
    old = replace(claim, round=court.now - WINDOW - 10)
    refused = {
        "another token": (replace(claim, trace_root=bytes(32)), signature),
        "another seed": (replace(claim, update_root=bytes(32)), signature),
        "another model": (replace(claim, start_root=bytes(32)), signature),
        "another request": (replace(claim, end_root=bytes(32)), signature),
        "another prompt": (replace(claim, data_root=bytes(32)), signature),
        "another temperature": (replace(claim, tokens=len(PROMPT)), signature),
        "signed by the accuser": (claim, court.sign(claim, 2)),
        "signed for another chain": (claim, court.sign(claim, 1, 5)),
        "not signed": (claim, bytes(65)),
        "too old": (old, court.sign(old)),
    }
    passed = []
    for what, (one, signed) in refused.items():
        try:
            court.call("AnswerCourt", 2, "accuse", one.to_tuple(), signed, STEP)
        except PonwError:
            continue
        passed.append(what)
    assert passed == []
    court.call("AnswerCourt", 2, "accuse", claim.to_tuple(), signature, STEP)
    assert to_checksum_address(claim.node) == court.clients[1].address
