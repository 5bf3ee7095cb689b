"""An honest node with everything that peers can talk to: transfers, proposals, stages, pipelines, records, topics.

    python -m bench.fuzz.node --home HOME --stakes stakes.json

The first line out says where it is; it serves until its input ends.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from bench.accounts import NumberedAccount
from bench.quorum_node import NETWORK, REGISTRY, Endless
from consensus.model.config import PRESETS
from consensus.quorum.capacity import layout_of
from consensus.quorum.parts import Span
from consensus.quorum.peers import Peer
from economics.networks import DEVNET_TIMES
from node.logs import configure
from node.net.catalogue import Catalogue
from node.net.client import Network
from node.net.giving import TransferService
from node.net.settings import NetSettings, Room, StakeSource
from node.net.transfer import PROTOCOL, same_versions
from node.net.wire.common_pb2 import Versions
from node.quorum import team
from node.quorum.consent import Consents
from node.quorum.doors import Doors
from node.quorum.port import NetPort
from node.quorum.service import Offer, QuorumService
from node.quorum.team import Around
from node.quorum.teams import Teams

NUMBER = 1
"""The node's account."""
CONTENT = bytes(range(256)) * 256
"""What it gives to who asks: 64 KiB."""


def settings(home: Path, stakes: Path, *bootstrap: str) -> NetSettings:
    """A peer process of the network that the fuzzing runs on. Its hostile keys are many and of one address, and each is
    to be heard until it is banned itself: what is banned for coming one after the other is tested elsewhere."""
    source, room = StakeSource(file=stakes), Room(arrivals=1024, unproven_each=64, origin_ban=1 << 40)
    return NetSettings(home=home, network=NETWORK.hex(), bootstrap=list(bootstrap), stakes=source, room=room)


def offer() -> Offer:
    """The node holds the first half of the model and looks for who holds the rest."""
    layout = layout_of(PRESETS["tiny"])
    span = Span(0, 3)
    node = Peer(NumberedAccount(NUMBER).account, 5_000, 1_000, span, layout.bytes_of(span))
    return Offer(node, NETWORK, layout, 4)


def main() -> int:
    """Serve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--stakes", type=Path, required=True)
    options = parser.parse_args()
    configure()
    key, catalogue = NumberedAccount(NUMBER), Catalogue()
    root = catalogue.add_bytes(CONTENT)
    judge = same_versions(Versions(network=NETWORK))
    with Network.start(settings(options.home, options.stakes), key) as network, ExitStack() as stack:
        listener = stack.enter_context(network.listen(PROTOCOL))
        port = NetPort(network, time.monotonic)
        stack.enter_context(TransferService(listener, catalogue, judge, port.charge))
        doors = stack.enter_context(Doors(port.listen(team.PROTOCOL)))
        teams = Teams(key.account, Around(port, doors, blame=port.charge), options.home / "quorums")
        signer = Consents(key, 31337, REGISTRY)
        stack.enter_context(QuorumService(port, teams, signer, offer, DEVNET_TIMES, Endless()))
        threading.Thread(target=_watch, args=(network,), daemon=True).start()
        said = {"address": network.addresses()[0], "peer": network.me, "pid": network.pid, "root": root.hex()}
        print(json.dumps(said), flush=True)
        sys.stdin.buffer.read()  # whoever started this node ends it by closing its input
    return 0


def _watch(network: Network) -> None:
    """A peer process that died and was started again is a failure; it is said on standard output."""
    while not network.restarts:
        time.sleep(0.5)  # a loop's pace
    print(json.dumps({"restarts": network.restarts}), flush=True)


if __name__ == "__main__":
    sys.exit(main())
