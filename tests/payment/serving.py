"""A server process for tests about money: the real routes, settler, store and chain; scripted tokens.

Run as `python -m tests.payment.serving HOME RPC ESCROW CONTRACTS KEY [TOKENS AFTER WHICH IT HANGS]`; prints its port
when it listens.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import uvicorn
from eth_account import Account
from fastapi import APIRouter, FastAPI

from node import logs
from node.chain.client import ChainClient
from node.chain.contracts import Contracts
from node.chain.deployment import Deployment
from node.chain.escrow import InferenceEscrow
from node.chain.transport import RetryingProvider
from node.inference.paid.messages import MESSAGE_BYTES
from node.inference.paid.routes import paid_routes
from node.storage.store import Store
from tests.payment.scripted import ScriptedAnswerer


def main(home: str, rpc: str, escrow: str, contracts: str, key: str, hang: str = "") -> None:
    logs.configure("info", False)
    client = ChainClient(RetryingProvider(rpc, 20), Account.from_key(key), receipt_timeout=20)
    deployed = Contracts.at(client, Deployment.load(Path(contracts)))
    answerer = ScriptedAnswerer(hang=int(hang) if hang else None)
    with (
        Store.open(Path(home)) as store,
        paid_routes(answerer, store, deployed, InferenceEscrow(client, escrow)) as router,
    ):
        listener, server = listening(router)
        print(listener.getsockname()[1], flush=True)
        server.run([listener])


def listening(router: APIRouter) -> tuple[socket.socket, uvicorn.Server]:
    """A server of these routes that has its port but does not run yet."""
    listener = socket.socket(proto=socket.IPPROTO_TCP)  # or asyncio leaves the delay of small packets on
    listener.bind(("127.0.0.1", 0))
    listener.listen()  # who connects before the server runs waits for it
    app = FastAPI()
    app.include_router(router)
    options = {"ws": "websockets-sansio", "ws_max_size": MESSAGE_BYTES, "lifespan": "off"}
    return listener, uvicorn.Server(uvicorn.Config(app, log_level="warning", **options))


if __name__ == "__main__":
    main(*sys.argv[1:])
