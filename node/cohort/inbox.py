"""Others' contributions: headers judged by the rules, encodings fetched and checked against what the header names."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from typing import Final

from torch import Tensor

from consensus.aggregation.compression import decode_update
from consensus.commitments.tensors import tensor_set_root
from consensus.errors import CompressionError
from consensus.quorum.parts import Span
from node.cohort.contribution import CODECS, Rules, identity, names_of, source_of, span_of
from node.cohort.errors import InvalidError
from node.cohort.faults import Faults
from node.cohort.log import Log
from node.errors import PonwError
from node.logs import get_logger
from node.net.catalogue import Catalogue
from node.net.transfer import PROTOCOL, fetch_bytes
from node.net.transfer_types import TransferError, Wanted
from node.net.wire.cohort_pb2 import Contribution
from node.net.wire.common_pb2 import Versions
from node.quorum.agreement import Dialer

log = get_logger("cohort")
DIAL_SECONDS: Final = 10.0
RETRY_SECONDS: Final = 1.0
"""Before what nobody gave is tried again; longer with every try."""


class Inbox:
    """What was contributed to the open round. Used by one thread; what is fetched is served from `catalogue` as well.

    `peers`: where a contribution may be fetched, best first. `counted`: (source, base) that have counted before.
    """

    def __init__(
        self,
        rules: Rules,
        span: Span,
        messages: Log,
        faults: Faults,
        catalogue: Catalogue,
        dialer: Dialer,
        versions: Versions,
        peers: Callable[[Contribution, bytes], Iterable[str]],
    ) -> None:
        self._rules, self._span, self._log, self._faults = rules, span, messages, faults
        self._catalogue, self._dialer, self._versions, self._peers = catalogue, dialer, versions, peers
        self._good: dict[bytes, Contribution] = {}
        self._bad: set[bytes] = set()
        self._data: dict[bytes, bytes] = {}
        self._old: list[bytes] = []
        self._next: dict[bytes, tuple[int, float]] = {}

    def opened(self) -> None:
        """The next round: its contributions are judged anew; encodings of the last one are still given to others."""
        for root in self._old:
            self._catalogue.remove(root)
        self._old = [message.root for one, message in self._good.items() if one in self._data]
        self._good, self._bad, self._data, self._next = {}, set(), {}, {}

    def keep_own(self, message: Contribution, data: bytes) -> None:
        """This node's own, which it need not fetch."""
        self._catalogue.add_bytes(data)
        one = identity(message)
        self._good[one], self._data[one] = message, data

    def judge(self, number: int, counted: frozenset[tuple[bytes, int]]) -> None:
        """Take up every new header of the round by the rules."""
        for sealed in self._log.of(number, "contribution"):
            message = sealed.body.contribution
            one = identity(message)
            if one in self._good or one in self._bad:
                continue
            try:
                self._rules.check(sealed.body)
                _require_new(message, counted)
            except InvalidError as error:
                self._bad.add(one)
                self._faults.note(error)
            else:
                self._good[one] = message

    @property
    def headers(self) -> Mapping[bytes, Contribution]:
        """Every header that holds, by id."""
        return self._good

    @property
    def held(self) -> set[bytes]:
        """Ids that overlap this node's parts, and whose encoding is here and is what the header says."""
        return set(self._data)

    def missing(self, among: Iterable[bytes] | None = None) -> list[bytes]:
        """Ids that overlap this node's parts and have not been fetched."""
        wanted = self._good if among is None else [one for one in among if one in self._good]
        return [one for one in wanted if one not in self._data and self._overlaps(self._good[one])]

    def fetch(self, among: Iterable[bytes] | None = None) -> int:
        """Try to fetch what is missing and was not tried just now; how much is still missing."""
        for one in self.missing(among):
            tries, due = self._next.get(one, (0, 0.0))
            if time.monotonic() >= due:
                self._fetch(one, self._good[one])
                self._next[one] = (tries + 1, time.monotonic() + RETRY_SECONDS * (tries + 1))
        return len(self.missing(among))

    def update(self, one: bytes) -> dict[str, Tensor]:
        """What an encoding that is here decodes to, of this node's own parts."""
        message = self._good[one]
        shapes = names_of(self._rules.config, span_of(message))
        own = names_of(self._rules.config, self._span)
        decoded = decode_update(CODECS[message.codec], self._data[one], shapes)
        return {name: tensor for name, tensor in decoded.items() if name in own}

    def _overlaps(self, message: Contribution) -> bool:
        span = span_of(message)
        return span.start < self._span.stop and self._span.start < span.stop

    def _fetch(self, one: bytes, message: Contribution) -> None:
        for peer in self._peers(message, one):
            try:
                with closing(self._dialer.dial(peer, PROTOCOL, DIAL_SECONDS)) as stream:
                    wanted = Wanted(message.root, size=message.size)
                    data = fetch_bytes(stream, wanted, self._versions, peer=peer)
            except TransferError as error:
                log.info("no contribution from this peer", peer=peer, reason=error.message)
                continue
            except PonwError as error:
                log.info("a peer is not reached", peer=peer, reason=error.message)
                continue
            self._accept(one, message, data)
            return

    def _accept(self, one: bytes, message: Contribution, data: bytes) -> None:
        try:
            update = decode_update(CODECS[message.codec], data, names_of(self._rules.config, span_of(message)))
            _require_same(message, update)
        except CompressionError as error:
            self._drop(one, InvalidError(message.account, "payload", f"It does not decode: {error.message}."))
        except InvalidError as error:
            self._drop(one, error)
        else:
            self._data[one] = data
            self._catalogue.add_bytes(data)

    def _drop(self, one: bytes, error: InvalidError) -> None:
        self._bad.add(one)
        del self._good[one]
        self._faults.note(error)


def _require_new(message: Contribution, counted: frozenset[tuple[bytes, int]]) -> None:
    if (source_of(message), message.base) in counted:
        raise InvalidError(message.account, "counted", f"Its work for round {message.base} has counted before.")


def _require_same(message: Contribution, update: Mapping[str, Tensor]) -> None:
    if tensor_set_root(update) != message.update_root:
        raise InvalidError(message.account, "update", "It decodes to another update than its header names.")
