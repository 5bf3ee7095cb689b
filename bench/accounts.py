"""Accounts for tests and benchmarks: their private keys are small numbers, so nothing of value may ever be theirs."""

from __future__ import annotations

from typing import Any

from eth_account import Account


class NumberedAccount:
    """An account whose private key is the number."""

    def __init__(self, number: int) -> None:
        self._account = Account.from_key(number.to_bytes(32, "big"))

    @property
    def address(self) -> str:
        """Checksummed."""
        return str(self._account.address)

    @property
    def account(self) -> bytes:
        """20 bytes."""
        return bytes.fromhex(self.address[2:])

    def sign_typed(self, full_message: dict[str, Any]) -> tuple[int, int, int]:
        """(v, r, s)."""
        signed = self._account.sign_typed_data(full_message=full_message)
        return signed.v, signed.r, signed.s
