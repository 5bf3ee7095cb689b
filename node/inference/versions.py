"""The versions of the vocabulary that this machine can speak: those of the chain, if it knows one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from consensus.model.config import PRESETS, ModelConfig
from governance.activation import Version
from node.chain.contracts import Contracts
from node.chain.deployment import Deployment
from node.config import EMBEDDED_RPC, Settings
from node.inference.model import BYTES, sized
from node.inference.paid.errors import OfferError
from node.inference.paid.prompts import Encode, byte_ids
from node.inference.text import tokenizer_of
from node.vocabulary.versions import Versions

Connect = Callable[[Settings], Contracts]


def known_versions(settings: Settings, connect: Connect) -> Sequence[Version]:
    """Every version, the current one first; version 0 alone where no network is configured.

    Raises:
        OtherVersionError: the events make no vocabulary. RpcError, WrongChainError, ContractsError.
    """
    if settings.rpc_url == EMBEDDED_RPC or not settings.contracts_file.exists():
        return (BYTES,)
    return versions_of(connect(settings), Deployment.load(settings.contracts_file).block)


def versions_of(contracts: Contracts, first_block: int) -> Sequence[Version]:
    """Every version on chain, the current one first; errors as for `known_versions`."""
    history = Versions(contracts, first_block).read()
    current, _ = contracts.vocabulary.state()
    others = (history[number] for number in reversed(range(len(history))) if number != current)
    return (history[current], *others)


def prompt_encoder(contracts: Contracts, first_block: int) -> Encode:
    """How a payer reads a prompt in the version that a server names; the chain is asked when a later one is named."""

    def encode(text: str, version: int) -> Sequence[int] | None:
        if version == 0:
            return byte_ids(text, version)
        found = [one for one in versions_of(contracts, first_block) if one.number == version]
        return tokenizer_of(found[0]).encode(text.encode()) if found else None

    return encode


def shape_of(settings: Settings, contracts: Contracts, first_block: int) -> Callable[[int], ModelConfig]:
    """The shape of the network's model in a version of the vocabulary. The function raises OfferError where the chain
    has no such version."""

    def shape(version: int) -> ModelConfig:
        found = [one for one in (BYTES, *_later(version)) if one.number == version]
        if not found:
            raise OfferError(f"The chain has no version {version} of the vocabulary.", "Use another server.")
        return sized(PRESETS[settings.preset], found[0])

    def _later(version: int) -> Sequence[Version]:
        return versions_of(contracts, first_block) if version else ()

    return shape
