"""What an account has staked: read from the chain off the event loop, remembered for a while, bounded."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import httpx
import trio
from eth_utils.abi import function_signature_to_4byte_selector

from node.errors import PonwError, RpcError
from node.logs import redact_url
from node.net.limits import STAKE_FRESH_SECONDS, STAKE_RETRY_SECONDS, STAKE_STALE_SECONDS, STAKES_MAX
from node.paths import read_bounded

_ACCOUNT_OF = function_signature_to_4byte_selector("accountOf(address)").hex()
_ANSWER_BYTES = 1 << 16


class StakeReader(Protocol):
    """Blocking; called in a worker thread."""

    def stake_of(self, account: str) -> int:
        """Active stake of an account (0x-hex) in wei.

        Raises:
            PonwError: it cannot be known now.
        """


class ChainStakes:
    """Active stakes from the staking contract by plain JSON-RPC, so that the peer process needs no web3."""

    def __init__(self, rpc_url: str, staking: str, timeout: float = 10.0) -> None:
        self._client = httpx.Client(timeout=timeout)
        self._url, self._staking = rpc_url, staking

    def stake_of(self, account: str) -> int:
        """The first word of Staking.accountOf: `active`.

        Raises:
            RpcError: the endpoint does not answer, or not with that struct.
        """
        data = "0x" + _ACCOUNT_OF + account.lower().removeprefix("0x").rjust(64, "0")
        call = {"jsonrpc": "2.0", "id": 1, "method": "eth_call"}
        try:
            answer = self._client.post(
                self._url, json={**call, "params": [{"to": self._staking, "data": data}, "latest"]}
            )
            answer.raise_for_status()
            words = bytes.fromhex(str(answer.json()["result"])[2 : 2 + _ANSWER_BYTES])
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise RpcError(
                f"The RPC endpoint {redact_url(self._url)} gives no stake ({type(error).__name__}).", "Check `rpc_url`."
            ) from error
        if len(words) != 4 * 32:
            raise RpcError("The staking contract answers with another struct.", "Check the deployment's addresses.")
        return int.from_bytes(words[:32])


class FileStakes:
    """Stakes from a JSON file {account: wei}; for tests and for networks whose members are agreed by hand."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def stake_of(self, account: str) -> int:
        """Raises DiskError where the file cannot be read; RpcError where it is no such table."""
        try:
            table: Any = json.loads(read_bounded(self._path))
            return int({str(name).lower(): wei for name, wei in table.items()}.get(account.lower(), 0))
        except FileNotFoundError:
            return 0
        except (ValueError, AttributeError, TypeError) as error:
            raise RpcError(f"{self._path} is not a table of stakes.", 'It must be JSON: {"0x…": wei}.') from error


class NoStakes:
    """Nobody is staked: everyone may read, nobody write."""

    def stake_of(self, account: str) -> int:
        """Always 0."""
        del account
        return 0


class Stakes:
    """A reader with a memory. While it fails, what was known counts for STAKE_STALE_SECONDS, then as nothing; and it is
    asked once in STAKE_RETRY_SECONDS only, because an endpoint that is silent would hold every announcement up."""

    def __init__(self, reader: StakeReader, minimum: int, clock: Callable[[], float] = trio.current_time) -> None:
        self.minimum = minimum
        self._reader, self._clock = reader, clock
        self._known: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self._threads, self._turns = trio.CapacityLimiter(4), trio.CapacityLimiter(4)
        self._failed, self._asking, self._failed_at = False, False, 0.0

    async def of(self, account: str) -> int:
        """Active stake in wei; 0 for no account, and for one whose stake cannot be known."""
        if not account:
            return 0
        now = self._clock()
        at, wei = self._known.get(account, (float("-inf"), 0))
        if now - at < STAKE_FRESH_SECONDS:
            return wei
        found = await self._read(account)
        if found is None:
            return wei if now - at < STAKE_STALE_SECONDS else 0
        self._known[account] = (now, found)
        self._known.move_to_end(account)
        while len(self._known) > STAKES_MAX:
            self._known.popitem(last=False)
        return found

    async def _read(self, account: str) -> int | None:
        """None where it cannot be known now. While the endpoint is down, one caller at a time asks; no other waits."""
        async with self._turns:
            if self._failed and (self._asking or self._clock() - self._failed_at < STAKE_RETRY_SECONDS):
                return None
            self._asking = True
            try:
                found = await trio.to_thread.run_sync(self._reader.stake_of, account, limiter=self._threads)
            except PonwError:
                self._failed, self._failed_at = True, self._clock()
                return None
            finally:
                self._asking = False
            self._failed = False
            return found

    async def may_write(self, account: str) -> bool:
        """Whether the account's stake reaches the minimum."""
        return bool(account) and await self.of(account) >= self.minimum
