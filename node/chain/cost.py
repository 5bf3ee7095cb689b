"""What a transaction costs, and who is asked about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from node.chain.units import format_units


@dataclass(frozen=True)
class Cost:
    """What a transaction may cost: at most `gas` units of at most `gas_price` wei each, and the `value` it carries."""

    purpose: str
    gas: int
    gas_price: int
    value: int = 0

    @property
    def fee(self) -> int:
        """The most wei that the gas can cost."""
        return self.gas * self.gas_price

    def __str__(self) -> str:
        value = f", value {format_units(self.value, 'ETH')}" if self.value else ""
        return f"{self.purpose}: up to {self.gas} gas, fee at most {format_units(self.fee, 'ETH')}{value}"


Confirm = Callable[[Cost], bool]
"""Asked before each transaction is signed; False cancels it."""


def accept_all(_cost: Cost) -> bool:
    """The `--yes` confirmation."""
    return True
