"""A growth of layers as it is announced: what names it, and what its new layers' weights are drawn under."""

import hashlib
import struct
from dataclasses import dataclass
from typing import Final

from consensus.errors import GrowthError
from economics.units import Seconds

_DOMAIN: Final = b"ponw/growth/1\x00"
_FIELDS: Final = struct.Struct(">IIHHQ")


@dataclass(frozen=True, slots=True)
class Announcement:
    """The network's growth ``number`` (from 1): version ``parent`` of its depth would go from ``before`` layers to
    ``after``; ``time`` is the block's that announced it. Raises GrowthError where that is no growth."""

    number: int
    parent: int
    before: int
    after: int
    time: Seconds

    def __post_init__(self) -> None:
        if not 0 < self.before < self.after < 1_000:
            raise GrowthError(f"{self.before} layers do not grow to {self.after}")
        try:
            self._encoded()
        except struct.error as error:
            raise GrowthError(f"{self} does not fit its encoding") from error

    def hash(self) -> bytes:
        """sha256("ponw/growth/1" ‖ 0x00 ‖ number u32 ‖ parent u32 ‖ before u16 ‖ after u16 ‖ time u64), big-endian."""
        return hashlib.sha256(_DOMAIN + self._encoded()).digest()

    @property
    def added(self) -> int:
        """Layers more than before."""
        return self.after - self.before

    def _encoded(self) -> bytes:
        return _FIELDS.pack(self.number, self.parent, self.before, self.after, self.time)
