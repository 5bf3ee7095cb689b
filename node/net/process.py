"""The peer process: `python -m node.net.process`, started by `node.net.client.Network`. One trio loop, libp2p only.

Standard input: three lines, then nothing: settings as JSON, the hot key as hex, the binding to the account as hex
(empty for a node that only reads). When it closes, so does the process, so it never outlives the node.
Standard output: one line of JSON once it serves, or why it cannot.
"""

from __future__ import annotations

import faulthandler
import importlib
import json
import logging
import logging.handlers
import signal
import sys
import time

import trio

from node.errors import ConfigError, PonwError
from node.net.control import ControlServer
from node.net.desk import Desk
from node.net.dht import RecordRules
from node.net.host import PeerHost
from node.net.lan import on_lan
from node.net.settings import NetSettings, StakeSource
from node.net.stakes import ChainStakes, FileStakes, NoStakes, StakeReader, Stakes
from node.net.wire.hello_pb2 import Binding

LOG_BYTES = 1 << 20
LINE_BYTES = 1 << 20


def main() -> int:
    """Exit 0 when the node closed us, 1 when we could not serve."""
    faulthandler.enable()
    settings = NetSettings.read(sys.stdin.buffer.readline(LINE_BYTES))
    seed, binding = (bytes.fromhex(sys.stdin.buffer.readline(LINE_BYTES).decode().strip()) for _ in range(2))
    _log_to(settings)
    failures: list[BaseException] = []
    try:
        trio.run(_serve, settings, seed, Binding.FromString(binding) if binding else None)
    except* PonwError as group:
        failures.append(_first(group))
    for error in failures:
        print(json.dumps({"error": str(error), "hint": getattr(error, "hint", "")}), flush=True)
    return len(failures)


async def _serve(settings: NetSettings, seed: bytes, binding: Binding | None) -> None:
    stakes = Stakes(stake_reader(settings.stakes), settings.stakes.minimum)
    host = PeerHost(settings, seed, stakes, load_rules(settings.records), time.time)
    host.me.binding = binding
    async with host.running(), on_lan(host), trio.open_nursery() as nursery:
        await nursery.start(ControlServer(Desk(host)).serve, settings.control)
        nursery.start_soon(_until_signal, nursery.cancel_scope)
        print(json.dumps({"peer": host.peer, "addresses": host.addresses()}), flush=True)
        await _until_closed()
        nursery.cancel_scope.cancel()


async def _until_closed() -> None:
    """Until the node closes our standard input: on purpose or by its death."""
    stdin = trio.lowlevel.FdStream(sys.stdin.fileno())
    while await stdin.receive_some(1024):
        pass


async def _until_signal(scope: trio.CancelScope) -> None:
    # Ctrl-C reaches the whole process group; the node decides when we stop.
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            if number == signal.SIGTERM:
                scope.cancel()
                return


def stake_reader(source: StakeSource) -> StakeReader:
    """The reader that the settings describe."""
    if source.rpc_url:
        return ChainStakes(source.rpc_url, source.staking)
    return FileStakes(source.file) if source.file else NoStakes()


def load_rules(name: str) -> RecordRules:
    """The record rules MODULE:NAME.

    Raises:
        ConfigError: there are none of that name.
    """
    module, _, attribute = name.partition(":")
    try:
        rules: RecordRules = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"There are no record rules {name}.", "Name an object as MODULE:NAME.") from error
    return rules


def _log_to(settings: NetSettings) -> None:
    """A log that cannot fill the disk: junk from peers ends up in it."""
    handler = logging.handlers.RotatingFileHandler(
        settings.folder / "process.log", maxBytes=LOG_BYTES, backupCount=1, encoding="utf-8"
    )
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message).500s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("node.net").setLevel(logging.INFO)
    handler.addFilter(_worth_keeping)
    # It keeps its messages from our handler, so that they go straight to standard error.
    library = logging.getLogger("libp2p")
    library.handlers.clear()
    library.propagate = True


def _worth_keeping(record: logging.LogRecord) -> bool:
    """The library warns with whole payloads of what it refuses."""
    return record.name.startswith("node.") or record.levelno >= logging.ERROR


def _first(group: BaseException) -> BaseException:
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    return group


if __name__ == "__main__":
    sys.exit(main())
