"""The escrow of paid answers: its typed messages (EIP-712), which both sides sign and check, and the contract itself.

Addresses are checksummed 0x-hex, hashes 32 bytes, money wei, times Unix seconds, signatures 65 bytes (r, s, v).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from eth_account.messages import SignableMessage, encode_typed_data
from eth_utils.address import is_checksum_address
from eth_utils.crypto import keccak
from web3.types import TxReceipt

from economics.constants import PAYEES_MAX
from node.chain import events
from node.chain.client import ChainClient
from node.chain.contracts import PERMIT_SECONDS, NeuroToken
from node.chain.deployment import Deployment
from node.chain.signatures import packed, recovered, typed_message
from node.chain.units import format_units
from node.chain.wrapper import Wrapper
from node.errors import PonwError

_TYPES = {
    "Payee": (("account", "address"), ("layers", "uint16")),
    "Quote": (
        ("payer", "address"),
        ("signer", "address"),
        ("server", "address"),
        ("price", "uint256"),
        ("maxTokens", "uint32"),
        ("validUntil", "uint64"),
        ("task", "bytes32"),
        ("embedding", "address"),
        ("head", "address"),
        ("payees", "Payee[]"),
    ),
    "Voucher": (("request", "bytes32"), ("tokens", "uint32")),
}


class QuoteError(PonwError):
    """A quote with a field out of its range, or one that is not what was asked for."""


class RequestState(IntEnum):
    """Life of a request (IInferenceEscrow.State); SETTLED and REFUNDED are terminal."""

    NONE = 0
    OPEN = 1
    CANCELLED = 2
    SETTLED = 3
    REFUNDED = 4


@dataclass(frozen=True, slots=True)
class Payee:
    """An account and how many of the model's layers it holds."""

    account: str
    layers: int


@dataclass(frozen=True, slots=True)
class Quote:
    """A server's offer (IInferenceEscrow.Quote). Raises QuoteError on a field out of its range.

    `price` in wei a token; `valid_until` is the last timestamp at which it can be opened; `task` is
    `consensus.inference.task.Task.hash`.
    """

    payer: str
    signer: str
    server: str
    price: int
    max_tokens: int
    valid_until: int
    task: bytes
    embedding: str
    head: str
    payees: tuple[Payee, ...]

    def __post_init__(self) -> None:
        accounts = [self.payer, self.signer, self.server, self.embedding, self.head]
        for account in accounts + [payee.account for payee in self.payees]:
            if not is_checksum_address(account):
                raise QuoteError(f"The quote names '{account[:60]}', which is no checksummed address.")
        numbers = ((self.price, 256), (self.max_tokens, 32), (self.valid_until, 64))
        layers = tuple((payee.layers, 16) for payee in self.payees)
        if any(not 0 <= value < 1 << bits for value, bits in numbers + layers) or len(self.task) != 32:
            raise QuoteError("A number or hash of the quote is out of its range.")
        if not 1 <= len(self.payees) <= PAYEES_MAX:
            raise QuoteError(f"The quote names {len(self.payees)} payees; 1 to {PAYEES_MAX} are possible.")

    @property
    def most(self) -> int:
        """Wei that opening locks: the whole answer's fee."""
        return self.price * self.max_tokens

    def message(self) -> dict[str, Any]:
        """The fields by the contract's names, as EIP-712 and the ABI take them."""
        payees = [{"account": payee.account, "layers": payee.layers} for payee in self.payees]
        values = (self.payer, self.signer, self.server, self.price, self.max_tokens, self.valid_until, self.task)
        names = (name for name, _ in _TYPES["Quote"])
        return dict(zip(names, (*values, self.embedding, self.head, payees), strict=True))

    def to_tuple(self) -> tuple[Any, ...]:
        """As the ABI takes it."""
        payees = [(payee.account, payee.layers) for payee in self.payees]
        return (*tuple(self.message().values())[:-1], payees)

    def to_json(self) -> dict[str, Any]:
        """The contract's names; the price as decimal text (it may pass 2^53), the task as 0x-hex."""
        return self.message() | {"price": str(self.price), "task": "0x" + self.task.hex()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Quote:
        """The inverse of `to_json`, of values whose types were checked. Raises QuoteError."""
        payees = tuple(Payee(payee["account"], payee["layers"]) for payee in data["payees"])
        numbers = (int(data["price"]), data["maxTokens"], data["validUntil"])
        task = bytes.fromhex(data["task"].removeprefix("0x"))
        parties = (data["payer"], data["signer"], data["server"])
        return cls(*parties, *numbers, task, data["embedding"], data["head"], payees)


@dataclass(frozen=True, slots=True)
class EscrowDomain:
    """What ties a signature to one escrow on one chain: EIP-712 domain {ponw, 1, chain id, contract}."""

    chain_id: int
    address: str

    def quote_hash(self, quote: Quote) -> bytes:
        """The quote's digest: the id of the request it opens."""
        return _digest(_signable(self._quote_message(quote)))

    def voucher_hash(self, request: bytes, tokens: int) -> bytes:
        """The digest of a voucher for `tokens` tokens of a request, all that were served so far."""
        return _digest(_signable(self._voucher_message(request, tokens)))

    def sign_quote(self, client: ChainClient, quote: Quote) -> bytes:
        """The signature of the client's account as the server."""
        return packed(client.sign_typed(self._quote_message(quote)))

    def sign_voucher(self, client: ChainClient, request: bytes, tokens: int) -> bytes:
        """The signature of the client's account as the signer."""
        return packed(client.sign_typed(self._voucher_message(request, tokens)))

    def quote_is_signed(self, quote: Quote, signature: bytes) -> bool:
        """Whether the contract would take `signature` as the server's."""
        return recovered(_signable(self._quote_message(quote)), signature) == quote.server

    def voucher_is_signed(self, quote: Quote, request: bytes, tokens: int, signature: bytes) -> bool:
        """Whether the contract would take `signature` as the signer's."""
        return recovered(_signable(self._voucher_message(request, tokens)), signature) == quote.signer

    def voucher_document(self, request: bytes, tokens: int) -> dict[str, Any]:
        """A voucher as `eth_signTypedData_v4` takes it: JSON, bytes as 0x-hex."""
        message = self._voucher_message(request, tokens)
        return message | {"message": {"request": "0x" + request.hex(), "tokens": tokens}}

    def _quote_message(self, quote: Quote) -> dict[str, Any]:
        return self._typed(("Payee", "Quote"), "Quote", quote.message())

    def _voucher_message(self, request: bytes, tokens: int) -> dict[str, Any]:
        return self._typed(("Voucher",), "Voucher", {"request": request, "tokens": tokens})

    def _typed(self, kinds: tuple[str, ...], primary: str, values: dict[str, Any]) -> dict[str, Any]:
        structs = {kind: _TYPES[kind] for kind in kinds}
        return typed_message(structs, primary, values, self.chain_id, self.address)


def seed_of(request: bytes, salt: bytes) -> bytes:
    """keccak256(request ‖ salt): fixes every draw of the answer, and neither side alone chose it."""
    return keccak(request + salt)


def _signable(message: dict[str, Any]) -> SignableMessage:
    return encode_typed_data(full_message=message)


def _digest(message: SignableMessage) -> bytes:
    return keccak(b"\x19" + message.version + message.header + message.body)


@dataclass(frozen=True, slots=True)
class RequestView:
    """A request on chain. `deadline`: OPEN: from when the payer may cancel; CANCELLED: last timestamp to settle.
    `tokens`: CANCELLED: what the payer says was served; SETTLED: what was paid."""

    state: RequestState
    deadline: int
    tokens: int

    @property
    def over(self) -> bool:
        """Whether no money is locked behind it any more."""
        return self.state in (RequestState.SETTLED, RequestState.REFUNDED)


class InferenceEscrow(Wrapper):
    """Deposits, locked fees, vouchers and credits."""

    name = "InferenceEscrow"

    @classmethod
    def of(cls, client: ChainClient, deployment: Deployment) -> InferenceEscrow:
        """The escrow of a deployment.

        Raises:
            ContractsError: there is no code at its address.
        """
        return cls(client, deployment.addresses.escrow)

    def __init__(self, client: ChainClient, address: str) -> None:
        super().__init__(client, address)
        self.domain = EscrowDomain(client.chain_id, self.address)

    def token(self) -> str:
        """The token that is paid in."""
        return str(self._view("token"))

    def progress_time(self) -> int:
        """Seconds after opening from which a payer may cancel."""
        return int(self._view("progressTime"))

    def settle_time(self) -> int:
        """Seconds that a server has to settle after a cancellation."""
        return int(self._view("settleTime"))

    def deposit_of(self, payer: str) -> int:
        """Wei that `payer` has deposited and not locked."""
        return int(self._view("depositOf", payer))

    def credit_of(self, account: str) -> int:
        """Wei that `account` has earned and may collect."""
        return int(self._view("creditOf", account))

    def total_locked(self) -> int:
        """Wei locked behind all open and cancelled requests."""
        return int(self._view("totalLocked"))

    def request_of(self, request: bytes) -> RequestView:
        """Where a request stands."""
        state, deadline, tokens = self._view("requestOf", request)
        return RequestView(RequestState(state), int(deadline), int(tokens))

    def hash_quote(self, quote: Quote) -> bytes:
        """The contract's own digest of a quote; equals `domain.quote_hash`."""
        return bytes(self._view("hashQuote", quote.to_tuple()))

    def hash_voucher(self, request: bytes, tokens: int) -> bytes:
        """The contract's own digest of a voucher."""
        return bytes(self._view("hashVoucher", request, tokens))

    def opened_in(self, request: bytes, block: int) -> events.Opened | None:
        """The opening of `request`, if it stands in this block."""
        found = (event for event in self.events(block, block) if isinstance(event, events.Opened))
        return next((event for event in found if event.request == request), None)

    def deposit(self, amount: int) -> TxReceipt:
        """Deposit `amount` wei that the account has approved."""
        return self._send(f"deposit {format_units(amount)}", "deposit", amount)

    def deposit_with_permit(self, token: NeuroToken, amount: int) -> TxReceipt:
        """Deposit `amount` wei in one transaction, by an ERC-2612 permit signed here."""
        deadline = self._client.block().timestamp + PERMIT_SECONDS
        signature = token.sign_permit(self.address, amount, deadline)
        return self._send(f"deposit {format_units(amount)}", "depositWithPermit", amount, deadline, *signature)

    def withdraw(self, amount: int) -> TxReceipt:
        """Take `amount` wei of the account's deposit out."""
        return self._send(f"withdraw {format_units(amount)}", "withdraw", amount)

    def open(self, quote: Quote, salt: bytes, signature: bytes) -> TxReceipt:
        """Lock the whole fee behind a quote that its server signed."""
        return self._send(f"lock {format_units(quote.most)}", "open", quote.to_tuple(), salt, signature)

    def settle(self, quote: Quote, tokens: int, voucher: bytes) -> TxReceipt:
        """Pay what a voucher covers; the rest goes back to the payer."""
        return self._send(f"settle {tokens} tokens", "settle", quote.to_tuple(), tokens, voucher)

    def release(self, quote: Quote) -> TxReceipt:
        """Return everything to the payer: this server could not answer."""
        return self._send(f"release {format_units(quote.most)}", "release", quote.to_tuple())

    def cancel(self, quote: Quote, tokens: int) -> TxReceipt:
        """Say that only `tokens` were served."""
        return self._send(f"cancel after {tokens} tokens", "cancel", quote.to_tuple(), tokens)

    def refund(self, quote: Quote) -> TxReceipt:
        """End a cancelled request whose server did not settle in time."""
        return self._send("take the unserved part back", "refund", quote.to_tuple())

    def collect(self) -> TxReceipt:
        """Pay the account what it has earned."""
        return self._send("collect what was earned by answers", "collect")
