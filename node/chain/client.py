"""The node's one way to the chain: checked connection, reads, and a transaction pipeline that explains itself.

A transaction is simulated, priced, confirmed, signed, sent and waited for; a revert becomes a sentence at whichever
of these steps it shows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from eth_account.messages import SignableMessage
from eth_account.signers.local import LocalAccount
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt
from web3 import Web3
from web3.contract.contract import Contract, ContractConstructor, ContractFunction
from web3.exceptions import TimeExhausted
from web3.providers import BaseProvider
from web3.types import BlockIdentifier, FilterParams, LogReceipt, Nonce, TxParams, TxReceipt, Wei

from node.chain.artifacts import Artifact
from node.chain.cost import Confirm, Cost, accept_all
from node.chain.nonces import NonceCounter
from node.chain.rpc import NonceError, NotFoundError, RefusedError, rpc_errors
from node.chain.transport import RetryingProvider
from node.chain.types import Block
from node.chain.units import format_units
from node.config import EMBEDDED_RPC, Settings
from node.errors import (
    CancelledError,
    ContractsError,
    FundsError,
    PendingError,
    RevertError,
    RpcError,
    WrongChainError,
)
from node.logs import get_logger

GAS_MARGIN_PERCENT = 125
"""Gas limit over the estimate: storage that others fill between simulation and block changes the cost a little."""
GAS_MARGIN = 60_000
"""Added on top: in the second of an earlier change a vote's checkpoint is overwritten, a second later two are new."""
POLL_SECONDS = 0.1
NONCE_ATTEMPTS = 3
LOG_CHUNK = 2000
"""Blocks a log query spans at most; public endpoints refuse more."""

log = get_logger("chain")


class ChainClient:
    """One account (or none, for reads) on one chain. Threads may share it."""

    def __init__(
        self,
        provider: BaseProvider,
        account: LocalAccount | None = None,
        *,
        confirm: Confirm = accept_all,
        receipt_timeout: float = 180.0,
    ) -> None:
        self.web3 = Web3(provider)
        self._account = account
        self._confirm = confirm
        self._receipt_timeout = receipt_timeout
        self._nonces = NonceCounter(self._fetch_nonce)
        with rpc_errors():
            self.chain_id = int(self.web3.eth.chain_id)

    @classmethod
    def connect(
        cls, settings: Settings, account: LocalAccount | None = None, *, confirm: Confirm = accept_all
    ) -> ChainClient:
        """A client of the configured endpoint, its chain id checked.

        Raises:
            RpcError: the endpoint does not answer. WrongChainError: it serves another chain.
        """
        if settings.rpc_url == EMBEDDED_RPC:
            raise RpcError(
                "The embedded chain lives inside `ponw run` only.",
                "Set rpc_url to an endpoint, or use `ponw devnet up`.",
            )
        provider = RetryingProvider(settings.rpc_url, settings.rpc_timeout)
        client = cls(provider, account, confirm=confirm, receipt_timeout=settings.receipt_timeout)
        if client.chain_id != settings.chain_id:
            raise WrongChainError(
                f"The RPC endpoint serves chain {client.chain_id}, but chain {settings.chain_id} is configured.",
                "Correct `rpc_url` or `chain_id`.",
            )
        return client

    @property
    def address(self) -> str:
        """The account's checksummed address.

        Raises:
            RpcError: the client was opened for reading only.
        """
        return str(self._signer.address)

    @property
    def _signer(self) -> LocalAccount:
        if self._account is None:
            raise RpcError("This connection can only read.", "Unlock a key to send transactions.")
        return self._account

    # --- reads ---

    def contract(self, address: str, artifact: Artifact) -> Contract:
        """The contract at `address` under an artifact's ABI.

        Raises:
            ContractsError: there is no code at the address.
        """
        checked = Web3.to_checksum_address(address)
        with rpc_errors():
            code = self.web3.eth.get_code(checked)
        if not code:
            raise ContractsError(
                f"There is no {artifact.name} contract at {address} on chain {self.chain_id}.",
                "Deploy the contracts (`ponw devnet up`), or set `contracts` to the network's deployment file.",
            )
        return self.web3.eth.contract(checked, abi=artifact.abi)

    def call(self, function: ContractFunction, block: BlockIdentifier = "latest") -> Any:
        """The result of a view.

        Raises:
            PonwError: the decoded revert. ContractsError: the answer is not what the ABI says. RpcError.
        """
        with rpc_errors():
            return function.call(cast("TxParams", self._sender()), block)

    def balance(self, address: str) -> int:
        """Wei of the chain's own currency at `address`."""
        with rpc_errors():
            return int(self.web3.eth.get_balance(Web3.to_checksum_address(address)))

    def block(self, number: BlockIdentifier = "latest") -> Block:
        """One block header.

        Raises:
            RpcError: there is no such block, or the endpoint does not answer.
        """
        with rpc_errors():
            header = self.web3.eth.get_block(number)
        return Block(int(header["number"]), int(header["timestamp"]), bytes(header["hash"]))

    def logs(
        self, addresses: list[str], first: int, last: int, topics: list[Any] | None = None
    ) -> Iterator[LogReceipt]:
        """Raw logs of blocks `first` to `last` inclusive, in order, read in bounded chunks that shrink on refusal.

        Raises:
            RpcError: the endpoint refuses even one block.
        """
        chunk = LOG_CHUNK
        checked = [Web3.to_checksum_address(address) for address in addresses]
        while first <= last:
            end = min(last, first + chunk - 1)
            query = FilterParams(address=checked, fromBlock=first, toBlock=end)
            if topics is not None:
                query["topics"] = topics
            try:
                with rpc_errors():
                    found = self.web3.eth.get_logs(query)
            except RefusedError:
                if chunk == 1:
                    raise
                chunk = max(1, (end - first + 1) // 2)
                continue
            yield from found
            first = end + 1

    # --- transactions ---

    def send(self, function: ContractFunction, purpose: str) -> TxReceipt:
        """Run the whole pipeline for one call of a contract; the receipt of a successful transaction.

        Raises:
            PonwError: the decoded revert, before sending where the simulation shows it. FundsError: gas can't be paid.
            CancelledError: declined. PendingError: sent but not mined in time. RpcError.
        """
        with rpc_errors():
            function.call(cast("TxParams", self._sender()))
            gas = function.estimate_gas(cast("TxParams", self._sender()))
        return self._transact({"to": function.address, "data": function._encode_transaction_data()}, gas, purpose)

    def transfer(self, to: str, value: int, purpose: str) -> TxReceipt:
        """Send `value` wei of the chain's own currency; errors as for `send`."""
        target = Web3.to_checksum_address(to)
        with rpc_errors():
            gas = self.web3.eth.estimate_gas({"from": self._signer.address, "to": target, "value": Wei(value)})
        return self._transact({"to": target, "value": Wei(value)}, gas, purpose)

    def create(self, constructor: ContractConstructor, purpose: str) -> str:
        """Deploy a contract and return its address; errors as for `send`."""
        with rpc_errors():
            gas = constructor.estimate_gas(cast("TxParams", self._sender()))
        receipt = self._transact({"data": constructor.data_in_transaction}, gas, purpose)
        return str(receipt["contractAddress"])

    def next_nonce(self) -> int:
        """The account's next nonce by the chain's count, pending transactions included."""
        self._nonces.reset()
        return self._fetch_nonce()

    def sign_typed(self, full_message: dict[str, Any]) -> tuple[int, int, int]:
        """The account's EIP-712 signature (v, r, s) of a full typed message."""
        signed = self._signer.sign_typed_data(full_message=full_message)
        return signed.v, signed.r, signed.s

    def sign_message(self, message: SignableMessage) -> bytes:
        """The account's signature (65 bytes: r, s, v) of a message by EIP-191, typed data (EIP-712) included."""
        return bytes(self._signer.sign_message(message).signature)

    def _sender(self) -> dict[str, Any]:
        return {} if self._account is None else {"from": self._account.address}

    def _fetch_nonce(self) -> int:
        with rpc_errors():
            return int(self.web3.eth.get_transaction_count(self._signer.address, "pending"))

    def _transact(self, fields: TxParams, estimate: int, purpose: str) -> TxReceipt:
        gas = estimate * GAS_MARGIN_PERCENT // 100 + GAS_MARGIN
        with rpc_errors():
            tip = int(self.web3.eth.max_priority_fee)
            base = int(self.web3.eth.get_block("latest")["baseFeePerGas"])
        cost = Cost(purpose, gas, 2 * base + tip, int(fields.get("value", 0)))
        self._check_funds(cost)
        if not self._confirm(cost):
            raise CancelledError(f"Cancelled: {purpose}.", "Nothing was sent.")
        priced: TxParams = {**fields, "from": self._signer.address, "chainId": self.chain_id, "gas": gas, "type": 2}
        priced |= {"maxFeePerGas": Wei(cost.gas_price), "maxPriorityFeePerGas": Wei(tip), "value": Wei(cost.value)}
        tx_hash = self._submit(priced)
        log.info("transaction sent", purpose=purpose, hash=Web3.to_hex(tx_hash), gas=gas)
        return self._receipt(tx_hash, priced, purpose)

    def _check_funds(self, cost: Cost) -> None:
        held, needed = self.balance(self.address), cost.fee + cost.value
        if held < needed:
            raise FundsError(
                f"{self.address} holds {format_units(held, 'ETH')} but {cost.purpose} may cost "
                f"{format_units(needed, 'ETH')}.",
                "Send ETH to this address first (on a devnet, `ponw devnet up` funds the wallet).",
            )

    def _submit(self, transaction: TxParams) -> bytes:
        """Sign and send; another process with the same key may take a nonce, so that error alone is tried again."""
        retrying = Retrying(
            stop=stop_after_attempt(NONCE_ATTEMPTS), retry=retry_if_exception_type(NonceError), reraise=True
        )
        return retrying(self._send_next, transaction)

    def _send_next(self, transaction: TxParams) -> bytes:
        with self._nonces.take() as nonce:
            return self._send_raw({**transaction, "nonce": Nonce(nonce)})

    def _send_raw(self, transaction: TxParams) -> bytes:
        signed = self._signer.sign_transaction(cast("dict[str, Any]", transaction))
        try:
            with rpc_errors():
                self.web3.eth.send_raw_transaction(signed.raw_transaction)
        except RefusedError:
            # A repeated attempt after a lost answer is refused although the first one arrived.
            if not self._is_known(signed.hash):
                raise
        return bytes(signed.hash)

    def _is_known(self, tx_hash: bytes) -> bool:
        try:
            with rpc_errors():
                self.web3.eth.get_transaction(Web3.to_bytes(tx_hash))  # type: ignore[arg-type]
        except NotFoundError:
            return False
        return True

    def _receipt(self, tx_hash: bytes, transaction: TxParams, purpose: str) -> TxReceipt:
        shown = Web3.to_hex(tx_hash)
        try:
            with rpc_errors():
                receipt = self.web3.eth.wait_for_transaction_receipt(
                    Web3.to_bytes(tx_hash),  # type: ignore[arg-type]
                    self._receipt_timeout,
                    POLL_SECONDS,
                )
        except TimeExhausted as error:
            raise PendingError(
                f"{purpose} was sent as {shown} but is not mined after {self._receipt_timeout:g} s.",
                "Wait for it, or look it up by that hash, before sending again.",
                tx_hash=shown,
            ) from error
        if receipt["status"] != 1:
            self._explain_failure(transaction, receipt, purpose)
        return receipt

    def _explain_failure(self, transaction: TxParams, receipt: TxReceipt, purpose: str) -> None:
        """Replay a mined but reverted transaction to learn its reason; always raises."""
        replay = {key: transaction[key] for key in ("from", "to", "data", "value", "gas") if key in transaction}
        with rpc_errors():
            self.web3.eth.call(cast("TxParams", replay), receipt["blockNumber"])
        raise RevertError(
            f"{purpose} was refused in block {receipt['blockNumber']}: the chain had changed since the simulation.",
            "Nothing but the fee was spent; try again.",
        )
