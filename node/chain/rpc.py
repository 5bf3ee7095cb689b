"""web3's exceptions, turned into the node's at one place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from web3.exceptions import BadFunctionCallOutput, ContractLogicError, TransactionNotFound, Web3RPCError

from node.chain.revert import explain
from node.errors import ContractsError, FundsError, RpcError
from node.logs import redact_text


class RefusedError(RpcError):
    """The endpoint answered a call with a JSON-RPC error."""


class NotFoundError(RpcError):
    """The endpoint knows no such transaction."""


class NonceError(RefusedError):
    """The nonce was taken by another transaction of the same account."""


@contextmanager
def rpc_errors() -> Iterator[None]:
    """Turn web3's exceptions into the node's."""
    try:
        yield
    except ContractLogicError as error:
        raise explain(_revert_data(error.data)) from error
    except TransactionNotFound as error:
        raise NotFoundError("The chain knows no such transaction.", "It may not have been sent.") from error
    except Web3RPCError as error:
        raise _refusal(error) from error
    except BadFunctionCallOutput as error:
        raise ContractsError(
            "A contract's answer does not fit its interface.", "Check that the configured addresses are this network's."
        ) from error


def _revert_data(data: object) -> bytes:
    if isinstance(data, str) and data.startswith("0x"):
        return bytes.fromhex(data[2:])
    return b""


def _refusal(error: Web3RPCError) -> RpcError | FundsError:
    text = redact_text(error.message or str(error))[:300]
    lowered = text.lower()
    if "nonce too low" in lowered or "underpriced" in lowered or "nonce" in lowered:
        return NonceError(f"The chain refuses the transaction's number: {text}.", "Try again.")
    if "insufficient funds" in lowered:
        return FundsError("The account cannot pay for the transaction.", "Send ETH to it first.")
    return RefusedError(f"The RPC endpoint refuses the call: {text}.", "Check `rpc_url` and the endpoint's limits.")
