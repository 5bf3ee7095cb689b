"""How many bytes this machine gives to the model."""

from __future__ import annotations

from pathlib import Path

from node import paths
from node.errors import DiskError

MEMINFO = Path("/proc/meminfo")
SHARE_PERCENT = 80
"""Of what is available without a configured limit: the rest is for the system and for buffers."""
MIB = 1 << 20


def usable_memory(limit_mib: int | None, meminfo: Path = MEMINFO) -> int:
    """Bytes for the model: the configured limit, else 80% of what the system says is available.

    Raises:
        DiskError: there is no limit, and /proc/meminfo cannot be read or does not name MemAvailable.
    """
    if limit_mib is not None:
        return limit_mib * MIB
    hint = "Set `memory_mib` to what the node may use."
    try:
        text = paths.read_bounded(meminfo).decode("ascii", "replace")
    except FileNotFoundError as error:
        raise DiskError(f"{meminfo} does not exist, so the available memory is unknown.", hint) from error
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if name == "MemAvailable" and words and words[0].isdigit():
            return int(words[0]) * 1024 * SHARE_PERCENT // 100
    raise DiskError(f"{meminfo} does not say how much memory is available.", hint)
