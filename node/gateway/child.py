"""A serving process of a gateway; started by `node.gateway.serving` with the descriptor of the listening socket."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

from node import logs
from node.gateway import serving
from node.gateway.settings import ENV_PREFIX


def main() -> None:
    """Serve at the socket that was handed down."""
    logs.configure(os.environ.get("PONW_LOG_LEVEL") or "info")
    listener = socket.socket(fileno=int(sys.argv[1]))
    serving.child(listener, Path(os.environ[ENV_PREFIX + "HOME"]))


if __name__ == "__main__":
    main()
