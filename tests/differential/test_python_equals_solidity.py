"""Python and Solidity give the same leaf, root acceptance, claim hash and reward, case by case, a thousand times."""

import random
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest
from harness import deploy
from web3 import Web3
from web3.contract import Contract

from consensus.commitments import tree
from consensus.commitments.claim import Claim, ClaimKind, claim_hash, struct_hash
from consensus.commitments.trace import StepLeaf, Trace
from consensus.model.tokens import VOCAB_SIZE
from consensus.training.outer import update_weight
from economics import BPS, WAD, Seconds, Steps, Wad, Wei, Work, claim_reward
from economics import constants as c
from economics.cohort import update_freshness
from economics.rewards import role_multiplier

CASES = 1_000
CALL = 100
"""Cases in one call, well under the block's gas."""
EDGES_U32 = (0, 1, 2**31, 2**32 - 1)


@pytest.fixture(scope="module")
def chain() -> tuple[Web3, Contract]:
    return deploy()


@pytest.fixture
def draw(request: pytest.FixtureRequest) -> random.Random:
    return random.Random(f"ponw/differential/1/{request.node.name}")  # noqa: S311


def batches(cases: list[Any]) -> Iterator[list[Any]]:
    rest = iter(cases)
    while part := list(islice(rest, CALL)):
        yield part


def u32(draw: random.Random) -> int:
    return draw.choice(EDGES_U32) if draw.random() < 0.1 else draw.getrandbits(32)


def test_trace_leaves(chain: tuple[Web3, Contract], draw: random.Random) -> None:
    leaves = [StepLeaf(draw.randbytes(32), draw.randbytes(32), u32(draw), u32(draw)) for _ in range(CASES)]
    for part in batches(leaves):
        given = [(leaf.state_root, leaf.batch_root, leaf.loss_bits, leaf.step) for leaf in part]
        assert chain[1].functions.traceLeaves(given).call() == [leaf.hash() for leaf in part]


def test_leaves_of_any_length(chain: tuple[Web3, Contract], draw: random.Random) -> None:
    data = [draw.randbytes(draw.choice((0, 1, 31, 32, 33, 55, 56, 63, 64, 65, 72, 1_024))) for _ in range(CASES)]
    for part in batches(data):
        assert chain[1].functions.leaves(part).call() == [tree.leaf_hash(one) for one in part]


def opening(draw: random.Random) -> tuple[bytes, bytes, int, int, list[bytes]]:
    """A true opening in half of the cases, else one that is wrong in one way."""
    trace = Trace(StepLeaf(draw.randbytes(32), draw.randbytes(32), u32(draw), i) for i in range(draw.randint(1, 70)))
    index, size = draw.randrange(len(trace)), len(trace)
    root, leaf, proof = trace.root(), trace[index].hash(), trace.prove(index)
    match draw.randrange(14):
        case 0:
            root = draw.randbytes(32)
        case 1:
            leaf = draw.randbytes(32)
        case 2:
            index = draw.choice((index + 1, size, size + 1, 2**255))
        case 3:
            size = draw.choice((0, 1, size + 1, size * 2, 2**255))
        case 4:
            proof = proof[:-1]
        case 5:
            proof = [*proof, draw.randbytes(32)]
        case 6 if proof:
            proof[draw.randrange(len(proof))] = draw.randbytes(32)
    return root, leaf, index, size, proof


def test_inclusion(chain: tuple[Web3, Contract], draw: random.Random) -> None:
    cases = [opening(draw) for _ in range(CASES)]
    ours = [tree.verify_inclusion(leaf, index, size, proof, root) for root, leaf, index, size, proof in cases]
    theirs = [answer for part in batches(cases) for answer in chain[1].functions.inclusions(part).call()]
    assert theirs == ours
    assert 0.4 * CASES < sum(ours) < 0.8 * CASES, "both answers must have been tried often"


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 31, 33])
def test_every_leaf_of_small_trees(chain: tuple[Web3, Contract], size: int) -> None:
    hashes = [tree.leaf_hash(bytes([i])) for i in range(size)]
    root = tree.root(hashes)
    proofs = [tree.inclusion_proof(hashes, i) for i in range(size)]
    cases = [(root, hashes[i], at, size, proofs[i]) for i in range(size) for at in (i, i ^ 1)]
    answers = [answer for part in batches(cases) for answer in chain[1].functions.inclusions(part).call()]
    assert answers == [at == i for i in range(size) for at in (i, i ^ 1)]


def claim(draw: random.Random) -> Claim:
    outer = draw.random() < 0.3
    return Claim(
        ClaimKind.OUTER if outer else ClaimKind.TRAIN,
        draw.choice((0, 1, 2**64 - 1, draw.getrandbits(64))),
        draw.randbytes(20),
        *(draw.randbytes(32) for _ in range(6)),
        steps=1 if outer else draw.choice((1, 2**32 - 1, draw.randint(1, 2**32 - 1))),
        tokens=0 if outer else draw.choice((0, 2**64 - 1, draw.getrandbits(64))),
        first_layer=draw.getrandbits(16),
        layer_count=draw.randint(1, 2**16 - 1),
        base=draw.choice((0, 1, 2**64 - 1, draw.getrandbits(64))),
    )


def test_claim_hashes(chain: tuple[Web3, Contract], draw: random.Random) -> None:
    w3, harness = chain
    here, chain_id = bytes.fromhex(harness.address[2:]), w3.eth.chain_id
    for part in batches([claim(draw) for _ in range(CASES)]):
        structs, digests = harness.functions.claims([one.to_tuple() for one in part]).call()
        assert structs == [struct_hash(one) for one in part]
        assert digests == [claim_hash(one, chain_id, here) for one in part]


def age(draw: random.Random) -> Seconds:
    """On time, about the limits of freshness, or anything."""
    limits = [limit + off for limit, _ in (*c.ASYNC_FRESHNESS, *c.UPDATE_FRESHNESS) for off in (-1, 0)]
    return Seconds(draw.choice((0, draw.choice(limits), draw.getrandbits(draw.randint(1, 64)))))


def work(draw: random.Random) -> Work:
    """Uniform sizes alone would always meet the cap, so amounts spread over their orders of magnitude."""
    stake = draw.choice((0, 1, 999, 1_000, c.MIN_STAKE, c.SUPPLY_CAP, draw.getrandbits(draw.randint(1, 86))))
    return Work(
        Steps(draw.choice((0, 1, c.MAX_STEPS, draw.randint(0, c.MAX_STEPS)))),
        draw.choice((0, 1, 6, 12, 96, draw.randint(0, 300))),
        stake=Wei(stake),
        finals=draw.choice((0, 1, 99, 100, 101, draw.randint(0, 2**32 - 1))),
        scarcity=Wad(draw.choice((0, 1, WAD, draw.randint(0, WAD)))),
        age=age(draw),
    )


def test_rewards(chain: tuple[Web3, Contract], draw: random.Random) -> None:
    cases = [work(draw) for _ in range(CASES)]
    ours = [claim_reward(one) for one in cases]
    given = [(one.steps, one.layers, one.stake, one.finals, one.scarcity, one.age) for one in cases]
    theirs = [amount for part in batches(given) for amount in chain[1].functions.rewards(part).call()]
    assert theirs == ours
    assert sum(0 < amount < c.CLAIM_REWARD_CAP for amount in ours) > CASES // 3, "the cap must not hide the formula"


def test_update_weights(chain: tuple[Web3, Contract], draw: random.Random) -> None:
    cases = [(draw.randint(1, c.MAX_STEPS), age(draw)) for _ in range(CASES)]
    theirs = chain[1].functions.weights(*map(list, zip(*cases, strict=True))).call()
    assert theirs == [update_weight(steps, update_freshness(seconds)) for steps, seconds in cases]


def test_the_numbers_are_the_same_on_both_sides(chain: tuple[Web3, Contract]) -> None:
    assert chain[1].functions.constants().call() == [
        c.PIPELINE_REWARD,
        c.ASYNC_REWARD,
        role_multiplier(True, True, True),
        c.STAKE_SLOPE,
        c.STAKE_DIVISOR,
        c.STAKE_MULTIPLIER_MAX,
        c.REPUTATION_SLOPE,
        c.SCARCITY_SLOPE,
        c.CLAIM_REWARD_CAP,
        c.LATE_ROUNDS,
    ]
    assert BPS == 10_000
    assert chain[1].functions.votes().call() == [
        c.PROPOSAL_STAKE,
        c.PROPOSAL_REWARD,
        c.PROPOSAL_TOKENS_MAX,
        c.PROPOSAL_FREQUENCY,
        c.VOTE_APPROVAL,
        c.VOTE_QUORUM,
        c.EMERGENCY_STAKE,
        VOCAB_SIZE,
    ]
