"""What every typed contract has in common: views, transactions and events under one artifact's ABI."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from web3 import Web3
from web3.types import BlockIdentifier, TxReceipt

from consensus.commitments.claim import Claim
from node.chain import artifacts, events
from node.chain.client import ChainClient
from node.chain.types import Change, Motion, Opening, Terms


def _abi(value: Any) -> Any:
    """An argument as web3 takes it: structs as tuples, addresses checksummed."""
    if isinstance(value, (Change, Opening, Terms)):
        return value.to_tuple()
    if isinstance(value, (Claim, Motion)):
        return tuple(map(_abi, value.to_tuple()))
    return Web3.to_checksum_address(value) if Web3.is_address(value) else value


class Wrapper:
    """One deployed contract under its artifact's ABI."""

    name: str

    def __init__(self, client: ChainClient, address: str) -> None:
        self._client = client
        self._contract = client.contract(address, artifacts.load(self.name))
        self.address = str(self._contract.address)

    def _view(self, function: str, *arguments: Any, block: BlockIdentifier = "latest") -> Any:
        return self._client.call(self._contract.functions[function](*map(_abi, arguments)), block)

    def _send(self, purpose: str, function: str, *arguments: Any) -> TxReceipt:
        return self._client.send(self._contract.functions[function](*map(_abi, arguments)), purpose)

    def calldata(self, function: str, *arguments: Any) -> str:
        """The 0x-hex data of a call, for a transaction that somebody else signs and sends."""
        return str(self._contract.encode_abi(function, args=[*map(_abi, arguments)]))

    def events(self, first: int, last: int, *only: type[events.Event]) -> Iterator[events.Event]:
        """The contract's typed events in blocks `first` to `last` inclusive, in order; `only`: of these types."""
        names = {kind.__name__ for kind in only}
        known = events.topics(self.name)
        wanted = ["0x" + topic.hex() for topic, name in known.items() if not only or name in names]
        for entry in self._client.logs([self.address], first, last, [wanted] if wanted else None):
            decoded = events.decode(self.name, entry)
            if decoded is not None:
                yield decoded
