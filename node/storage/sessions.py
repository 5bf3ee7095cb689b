"""What the parts of the repository share: a session to read with and one to write with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager

from sqlmodel import Session


class Sessions(ABC):
    """Gives sessions; a writing session commits when its block ends and rolls back when it raises."""

    @abstractmethod
    def _read(self) -> AbstractContextManager[Session]: ...

    @abstractmethod
    def _write(self) -> AbstractContextManager[Session]: ...
