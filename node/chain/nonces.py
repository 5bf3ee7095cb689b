"""One counter of an account's nonces. Asking the chain for 'pending' before each send loses races between threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class NonceCounter:
    """Hands out consecutive nonces, one at a time; `fetch` asks the chain for the next one."""

    def __init__(self, fetch: Callable[[], int]) -> None:
        self._fetch = fetch
        self._lock = threading.Lock()
        self._next: int | None = None

    @contextmanager
    def take(self) -> Iterator[int]:
        """The next nonce, held until the block ends; if that raises, the chain is asked again for the one after."""
        with self._lock:
            nonce = self._fetch() if self._next is None else self._next
            self._next = None
            yield nonce
            self._next = nonce + 1

    def reset(self) -> None:
        """Forget the count; the chain is asked before the next send."""
        with self._lock:
            self._next = None
