"""Amounts and times as people read them. Money is integer wei inside; decimals exist only at this edge."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from node.errors import PonwError

DECIMALS = 18
_AMOUNT = re.compile(r"^(\d{1,30})(?:\.(\d{1,18}))?$")


def parse_neuro(text: str) -> int:
    """Wei of a decimal amount such as "12.5", exactly.

    Raises:
        PonwError: not a plain decimal number, or finer than 10^-18.
    """
    match = _AMOUNT.match(text.strip())
    if match is None:
        raise PonwError(
            f"'{text}' is not an amount.", "Write digits with at most 18 decimals and no sign or unit, such as 12.5."
        )
    whole, fraction = match.group(1), match.group(2) or ""
    return int(whole + fraction.ljust(DECIMALS, "0"))


def format_units(wei: int, unit: str = "NEURO") -> str:
    """`wei` as an exact decimal with its unit, without trailing zeros."""
    sign, amount = ("-", -wei) if wei < 0 else ("", wei)
    whole, fraction = divmod(amount, 10**DECIMALS)
    decimals = f"{fraction:0{DECIMALS}d}".rstrip("0")
    return f"{sign}{whole}{'.' + decimals if decimals else ''} {unit}"


def format_time(timestamp: int) -> str:
    """A block timestamp as UTC, ISO 8601; the number itself where the calendar ends."""
    try:
        return datetime.fromtimestamp(timestamp, UTC).isoformat().replace("+00:00", "Z")
    except (OverflowError, ValueError, OSError):
        return str(timestamp)
