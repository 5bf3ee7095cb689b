"""The outer step of bench.quorum_node: leaders publish their quorum's update, everyone fetches all and joins them.

No chain runs here, so whoever started the nodes names the final updates, by leader. A node that has an update serves
it too, under its own rounds, so that one copy outlives its leader.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from torch import Tensor

from consensus.commitments.tensors import global_root, tensor_set_root
from consensus.model.config import ModelConfig
from consensus.training.claimed import claimed_update, unpack_update, update_bytes
from consensus.training.outer import GlobalState, outer_step, update_weight
from node.artefacts.layout import UPDATE_NAME
from node.artefacts.publisher import RoundPublisher
from node.errors import PeerError
from node.net.giving import TransferService
from node.net.rounds import RoundCatalogue, StreamArtefacts
from node.net.transfer import PROTOCOL, same_versions
from node.net.wire.common_pb2 import Versions
from node.paths import private_folder
from node.quorum.port import NetPort

Start = Callable[[ModelConfig, int], dict[str, Tensor]]
DIAL_SECONDS: Final = 5.0
SYNC_SECONDS: Final = 120.0
"""For one update to be had from anybody who is named as its holder; they are asked in turn."""
PAUSE_SECONDS: Final = 0.5
COPY: Final = 1 << 20
"""Round number under which a node serves its copy of another leader's update: one folder a leader above this."""


class Sync:
    """Publishes, serves and fetches updates of one node. Runs until `stack` closes."""

    def __init__(self, config: ModelConfig, port: NetPort, network: bytes, home: Path, stack: ExitStack) -> None:
        self._config, self._port, self._versions = config, port, Versions(network=network)
        self._root, self._fetched = home / "rounds", home / "fetched"
        listener = port.listen(PROTOCOL)
        stack.callback(listener.close)
        judge = same_versions(self._versions)
        stack.enter_context(TransferService(listener, RoundCatalogue(self._root), judge, lambda peer, why: None))

    def publish(self, number: int, start: Mapping[str, Tensor], end: Mapping[str, Tensor]) -> str:
        """Serve this leader's update of a round; its root as hex, which a claim would commit to."""
        update = claimed_update(start, end)
        self._serve(number, update)
        return tensor_set_root(update).hex()

    def outer(self, number: int, start: Start, updates: list[dict[str, Any]]) -> dict[str, Any]:
        """The outer step over updates {leader, root, steps, holders}, in this order, and how long it took.

        Raises:
            PeerError: nobody gives an update in SYNC_SECONDS.
        """
        began = time.monotonic()
        found = [(update_weight(one["steps"]), self._update(number, one)) for one in updates]
        fetched = time.monotonic()
        state = outer_step(GlobalState.start(start(self._config, number)), found)
        root = global_root(state.weights, state.velocity).hex()
        seconds = {"fetching": round(fetched - began, 3), "seconds": round(time.monotonic() - began, 3)}
        return {"synced": root, "updates": len(found), **seconds}

    def _update(self, number: int, one: dict[str, Any]) -> dict[str, Tensor]:
        """One update from whoever has it, checked against its root."""
        until, shapes = time.monotonic() + SYNC_SECONDS, self._config.shapes()
        target = self._fetched / one["leader"] / UPDATE_NAME
        while True:
            for peer in one["holders"]:
                try:
                    if not target.exists():
                        self._fetch(peer, number if peer == one["leader"] else copy_number(one["leader"]), target)
                except PeerError as error:
                    last = error
                    continue
                update = unpack_update(target.read_bytes(), shapes)
                if tensor_set_root(update).hex() == one["root"]:
                    self._serve(copy_number(one["leader"]), update)
                    return update
                target.unlink()
            if time.monotonic() > until:
                raise last
            time.sleep(PAUSE_SECONDS)  # between two rounds of asking; the loop has a deadline

    def _fetch(self, peer: str, number: int, target: Path) -> None:
        """From one holder, which may be this node: it then reads what it serves itself."""
        private_folder(target.parent)
        dial = lambda: self._port.dial(peer, PROTOCOL, DIAL_SECONDS)  # noqa: E731
        if peer == self._port.me:
            own = self._root / str(number) / UPDATE_NAME
            if not own.exists():
                raise PeerError("This node does not have it itself.")
            target.write_bytes(own.read_bytes())
            return
        with StreamArtefacts(dial, peer, self._versions, attempts=2) as client:
            index = client.index(number)
            client.fetch(index, UPDATE_NAME, target, max_bytes=update_bytes(self._config.shapes()))

    def _serve(self, number: int, update: Mapping[str, Tensor]) -> None:
        publisher = RoundPublisher(self._root, number)
        publisher.put_update(update)
        publisher.finish()


def copy_number(leader: str) -> int:
    """Where copies of this leader's update stand, a number above those of rounds."""
    return COPY + int.from_bytes(leader.encode()[-4:], "big")
