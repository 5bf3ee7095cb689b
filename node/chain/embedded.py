"""A whole EVM chain inside the process (eth-tester over py-evm): for tests and single-process use. Nothing is kept."""

from __future__ import annotations

import ast
import threading
from typing import Any

from eth_abi.abi import encode as abi_encode
from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_tester import EthereumTester, PyEVMBackend
from eth_tester.exceptions import TransactionFailed
from web3 import EthereumTesterProvider
from web3.types import RPCEndpoint, RPCResponse

from node.chain.revert import ERROR_STRING

REVERTED = 3
"""JSON-RPC error code of a revert, as geth and anvil give it."""


class EmbeddedChain(EthereumTesterProvider):
    """The chain as a web3 provider that several threads may share; reverts look like those of a real endpoint."""

    def __init__(self) -> None:
        tester = EthereumTester(backend=PyEVMBackend())
        super().__init__(ethereum_tester=tester)
        self._tester = tester
        self._lock = threading.RLock()

    @property
    def chain_id(self) -> int:
        """The chain id of eth-tester's chain."""
        return int(str(self.make_request(RPCEndpoint("eth_chainId"), [])["result"]), 16)

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        """One JSON-RPC call, answered by the chain in this process."""
        with self._lock:
            try:
                return super().make_request(method, params)
            except TransactionFailed as error:
                return {"jsonrpc": "2.0", "id": 1, "error": _revert(error)}

    def accounts(self) -> list[LocalAccount]:
        """The chain's funded accounts."""
        return [Account.from_key(key.to_bytes()) for key in self._tester.backend.account_keys]

    def mine(self, blocks: int = 1) -> None:
        """Add empty blocks at the present time."""
        with self._lock:
            self._tester.mine_blocks(blocks)

    def travel(self, timestamp: int) -> None:
        """Move the chain's clock to `timestamp` (forward only) and mine a block there."""
        with self._lock:
            self._tester.time_travel(timestamp)
            self._tester.mine_block()


def _revert(error: TransactionFailed) -> Any:
    # eth-tester keeps a revert's data only in its message: the repr of the bytes, or the text of an Error(string).
    text = str(error).removeprefix("execution reverted: ")
    is_bytes = text.startswith(("b'", 'b"'))
    data = ast.literal_eval(text) if is_bytes else ERROR_STRING + abi_encode(["string"], [text])
    return {"code": REVERTED, "message": "execution reverted", "data": "0x" + data.hex()}
