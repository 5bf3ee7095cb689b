"""Bindings checked once and remembered: recovering a signer costs about 2 ms, and gossip repeats the same binding."""

from __future__ import annotations

from collections import OrderedDict

import trio

from node.net.errors import NetworkError
from node.net.hotkey import peer_of
from node.net.identity import check_binding
from node.net.stakes import Stakes
from node.net.wire.common_pb2 import Refusal
from node.net.wire.hello_pb2 import Binding

REMEMBERED = 2048


class Bindings:
    """Who speaks for which account on one network (32 bytes)."""

    def __init__(self, network: bytes, stakes: Stakes) -> None:
        self._network, self._stakes = network, stakes
        self._checked: OrderedDict[tuple[str, bytes], tuple[str, int]] = OrderedDict()
        self._threads = trio.CapacityLimiter(2)

    async def account_of(self, peer: str, binding: Binding, now: int) -> str:
        """The checksummed account that the peer (base58) speaks for; "" for an empty binding.

        Raises:
            IdentityError: the binding does not hold.
        """
        if not binding.signature:
            return ""
        key = (peer, binding.SerializeToString(deterministic=True))
        if known := self._checked.get(key):
            account, expiry = known
            if now < expiry:
                return account
        account = await trio.to_thread.run_sync(
            check_binding, binding, peer_of(peer), self._network, now, limiter=self._threads
        )
        self._checked[key] = (account, binding.expiry)
        while len(self._checked) > REMEMBERED:
            self._checked.popitem(last=False)
        return account

    async def writer(self, peer: str, binding: Binding, now: int) -> str:
        """The account of a peer that may write.

        Raises:
            IdentityError: the binding does not hold.
            NetworkError: NOT_STAKED.
        """
        account = await self.account_of(peer, binding, now)
        await self.require_stake(account)
        return account

    async def require_stake(self, account: str) -> int:
        """The account's active stake in wei; raises NetworkError (NOT_STAKED) below the minimum."""
        wei = await self._stakes.of(account)
        if not account or wei < self._stakes.minimum:
            who = account or "A peer without an account"
            raise NetworkError(
                f"{who} has {wei} wei staked; writing needs {self._stakes.minimum}.",
                "Run `ponw stake add`; it counts a minute later.",
                Refusal.NOT_STAKED,
            )
        return wei

    async def stake_of(self, account: str) -> int:
        """Active stake in wei."""
        return await self._stakes.of(account)
