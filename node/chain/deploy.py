"""Deploy a network: fourteen contracts (deployment.Addresses), at consecutive nonces of one account.

The contracts name each other in immutable fields, so later addresses are computed beforehand (CREATE:
keccak(rlp(sender, nonce)), yellow paper section 7) and given to earlier constructors.
"""

from __future__ import annotations

from dataclasses import dataclass

from web3 import Web3
from web3.types import Nonce
from web3.utils.address import get_create_address

from economics.networks import NetworkParameters
from economics.rewards import Work, claim_reward
from economics.units import DAY, Steps
from node.chain import artifacts
from node.chain.client import ChainClient
from node.chain.contracts import Contracts
from node.chain.cost import Cost
from node.chain.court import CourtTerms
from node.chain.deployment import Addresses, Deployment, describe
from node.chain.rpc import rpc_errors
from node.chain.types import Parameters, Schedule
from node.errors import ContractsError

CREATE_GAS = 500_000
"""Bounds a creation's gas beside its code: transaction, arguments, and what constructors write."""
BYTE_GAS = 220
"""Bounds the gas of a byte of code: 200 to keep it, 16 to send it, and the init code's words (EIP-170, 2028, 3860)."""
NO_JUDGE = "0x" + "00" * 20


@dataclass(frozen=True)
class Genesis:
    """What a network trains: hashes and roots of 32 bytes, tokens of one step, layers of the model."""

    program_hash: bytes
    data_root: bytes
    start_root: bytes
    tokens_per_step: int
    layers: int


def create_address(sender: str, nonce: int) -> str:
    """The address of the contract that `sender` creates with `nonce` (CREATE)."""
    return str(get_create_address(Web3.to_checksum_address(sender), Nonce(nonce)))


def registry_parameters(network: NetworkParameters, genesis: Genesis, judge: str = NO_JUDGE) -> Parameters:
    """The registry's constructor argument for a network and what it trains."""
    return Parameters(
        program_hash=genesis.program_hash,
        data_root=genesis.data_root,
        genesis_root=genesis.start_root,
        judge=judge,
        tokens_per_step=genesis.tokens_per_step,
        layers=genesis.layers,
        max_steps=network.max_steps,
        max_claims=network.max_claims,
        train_time=network.train_time,
        window=network.window,
        response_time=network.response,
        claim_bond=network.claim_bond,
        challenge_bond=network.challenge_bond,
    )


def emission_schedule(network: NetworkParameters) -> Schedule:
    """The emission's constructor argument for a network."""
    return Schedule(network.epoch_length, DAY, network.halving_epochs, network.epoch_emission, network.node_day_cap)


def deploy(client: ChainClient, network: NetworkParameters, genesis: Genesis, treasury: str) -> Deployment:
    """Deploy the contracts from the client's account; the genesis supply goes to `treasury`.

    Raises:
        ContractsError: the deployed network is not the one asked for (another transaction took a nonce in between, or
            the contracts hold other numbers than economics.constants). RevertError, FundsError, RpcError.
    """
    nonce = client.next_nonce()
    expected = Addresses(
        **{name: create_address(client.address, nonce + i) for i, name in enumerate(Addresses.model_fields)}
    )
    block = client.block().number
    parameters, schedule = registry_parameters(network, genesis, expected.judge), emission_schedule(network)
    arguments = _arguments(expected, network, parameters, schedule, treasury)
    for name, (field, address) in zip(artifacts.CONTRACT_NAMES, expected.model_dump().items(), strict=True):
        artifact = artifacts.load(name)
        created = client.web3.eth.contract(abi=artifact.abi, bytecode=artifact.bytecode)
        got = client.create(created.constructor(*arguments[field]), f"deploy {name}")
        if got != address:
            raise _differs(f"{name} is at {got} and not at {address}")
    deployment = Deployment(client.chain_id, block, expected, describe(parameters))
    verify(Contracts.at(client, deployment), network, parameters)
    return deployment


def _arguments(
    at: Addresses, network: NetworkParameters, parameters: Parameters, schedule: Schedule, treasury: str
) -> dict[str, tuple[object, ...]]:
    votes = (network.discussion, network.vote, network.vote_extension, network.grace)
    terms = (network.claim_bond, network.challenge_bond, network.answer_window, network.response)
    return {
        "token": (at.emission, Web3.to_checksum_address(treasury), network.genesis_supply, network.supply_cap),
        "staking": (at.token, at.registry, at.vocabulary, at.court, at.quorums, network.min_stake, network.thaw),
        "emission": (at.token, at.registry, at.vocabulary, at.quorums, _values(schedule)),
        "registry": (at.staking, at.emission, _values(parameters)),
        "scalar": (at.registry,),
        "judge": (at.registry, at.scalar, network.response, network.extension),
        "vocabulary": (at.registry, at.governor, at.emergency, at.growth),
        "governor": (at.vocabulary, *votes),
        "emergency": (at.vocabulary, network.emergency),
        "escrow": (at.token, network.progress, network.settle),
        "court": (at.staking, at.court_judge, terms),
        "court_judge": (at.court, at.scalar, network.response, network.extension),
        "quorums": (at.registry,),
        "growth": (at.vocabulary, *votes[:3]),
    }


def deployment_cost(client: ChainClient) -> Cost:
    """The most that `deploy` may cost now; later contracts can't be simulated before the earlier ones stand."""
    sizes = [len(artifacts.load(name).bytecode) // 2 for name in artifacts.CONTRACT_NAMES]
    gas = sum(CREATE_GAS + size * BYTE_GAS for size in sizes)
    with rpc_errors():
        tip = int(client.web3.eth.max_priority_fee)
        base = int(client.web3.eth.get_block("latest")["baseFeePerGas"])
    return Cost(f"deploy {len(sizes)} contracts from {client.address}", gas, 2 * base + tip)


def verify(contracts: Contracts, network: NetworkParameters, parameters: Parameters) -> None:
    """Check that a deployed network is wired to itself and carries exactly these numbers.

    Raises:
        ContractsError: names the first difference.
    """
    for what, found, wanted in (*_wiring(contracts), *_numbers(contracts, network, parameters)):
        if found != wanted:
            raise _differs(f"{what} is {found} and not {wanted}")


Check = tuple[str, object, object]


def _wiring(contracts: Contracts) -> tuple[Check, ...]:
    staking, emission, registry = contracts.staking, contracts.emission, contracts.registry
    vocabulary, governor, emergency = contracts.vocabulary, contracts.governor, contracts.emergency
    return (
        ("the token's minter", contracts.token.minter(), emission.address),
        ("staking's registry", staking.registry(), registry.address),
        ("staking's vocabulary", staking.vocabulary(), vocabulary.address),
        ("staking's quorums", staking.quorums(), contracts.quorums.address),
        ("emission's registry", emission.registry(), registry.address),
        ("emission's vocabulary", emission.vocabulary(), vocabulary.address),
        ("emission's quorums", emission.quorums(), contracts.quorums.address),
        ("the quorums' registry", contracts.quorums.registry(), registry.address),
        ("the judge's registry", contracts.judge.registry(), registry.address),
        ("the court's staking", contracts.court.staking(), staking.address),
        ("the court's judge's registry", contracts.court_judge.registry(), contracts.court.address),
        ("the vocabulary's registry", vocabulary.registry(), registry.address),
        ("the vocabulary's governor", vocabulary.governor(), governor.address),
        ("the vocabulary's emergency governor", vocabulary.emergency(), emergency.address),
        ("the vocabulary's deepener", vocabulary.deepener(), contracts.growth.address),
        ("the governor of growths' vocabulary", contracts.growth.vocabulary(), vocabulary.address),
        ("the governor's vocabulary", governor.vocabulary(), vocabulary.address),
        ("the emergency governor's vocabulary", emergency.vocabulary(), vocabulary.address),
    )


def _numbers(contracts: Contracts, network: NetworkParameters, parameters: Parameters) -> tuple[Check, ...]:
    staking, registry, judge = contracts.staking, contracts.registry, contracts.judge
    votes = (network.discussion, network.vote, network.vote_extension, network.grace)
    clocks = (network.response, network.extension)
    terms = CourtTerms(network.claim_bond, network.challenge_bond, network.answer_window, network.response)
    return (
        ("the token's cap", contracts.token.cap(), network.supply_cap),
        ("the minimum stake", staking.minimum_stake(), network.min_stake),
        ("the thaw period", staking.thaw_period(), network.thaw),
        ("the emission schedule", contracts.emission.schedule(), emission_schedule(network)),
        ("the registry's parameters", registry.parameters(), parameters),
        ("the judge's clocks", (judge.response(), judge.extension()), clocks),
        ("the court's terms", contracts.court.terms(), terms),
        ("the votes' times", contracts.governor.times(), votes),
        ("the times of votes about growths", contracts.growth.vote_times(), votes[:3]),
        ("the emergency vote's time", contracts.emergency.voting_period(), network.emergency),
        ("one step's reward", registry.quote_reward(NO_JUDGE, 1), claim_reward(Work(Steps(1), parameters.layers))),
    )


def _values(struct: Parameters | Schedule) -> tuple[object, ...]:
    return tuple(struct.__dict__.values())


def _differs(what: str) -> ContractsError:
    return ContractsError(
        f"The deployment is not the network asked for: {what}.",
        "Deploy again from an account that sends nothing else meanwhile.",
    )
