"""A server process for tests about disputes: routes, signer, player, store and chain are real; the model is small.

Run as `python -m tests.payment.trial_server HOME RPC ESCROW CONTRACTS KEY [lie]`; prints its port when it listens.
"""

from __future__ import annotations

import sys
from pathlib import Path

from eth_account import Account

from node import logs
from node.chain.client import ChainClient
from node.chain.contracts import Contracts
from node.chain.deployment import Deployment
from node.chain.escrow import InferenceEscrow
from node.chain.transport import RetryingProvider
from node.inference.paid.journal import Journal
from node.inference.paid.routes import paid_routes
from node.inference.paid.signing import AnswerSigner
from node.inference.paid.weights import KeptWeights
from node.storage.store import Store
from tests.payment.serving import listening
from tests.payment.trials import Lying, holding_all, player_of, small_model, small_service


def main(folder: str, rpc: str, escrow: str, contracts: str, key: str, lie: str = "") -> None:
    logs.configure("info", False)
    home, deployment = Path(folder), Deployment.load(Path(contracts))
    client = ChainClient(RetryingProvider(rpc, 20), Account.from_key(key), receipt_timeout=20)
    deployed, model = Contracts.at(client, deployment), small_model()
    with Store.open(home) as store, small_service(model) as service:
        signer = AnswerSigner(deployed, store, model)
        signer.prepare(KeptWeights(home), Journal(home))
        answerer, holders = Lying(service) if lie else service, holding_all(client.address)
        with (
            player_of(deployed, home, store, deployment.block),
            paid_routes(answerer, store, deployed, InferenceEscrow(client, escrow), holders, signer) as router,
        ):
            listener, server = listening(router)
            print(listener.getsockname()[1], flush=True)
            server.run([listener])


if __name__ == "__main__":
    main(*sys.argv[1:])
