"""A payer process for tests: answers one request that is open, one token for each line on its standard input.

Run as `python -m tests.payment.paying HOME RPC ESCROW CONTRACTS KEY REQUEST`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from eth_account import Account

from node.chain.client import ChainClient
from node.chain.contracts import Contracts
from node.chain.deployment import Deployment
from node.chain.escrow import InferenceEscrow
from node.chain.transport import RetryingProvider
from node.inference.paid.journal import Journal
from node.inference.paid.payer import Payer


def main(home: str, rpc: str, escrow: str, contracts: str, key: str, request: str) -> None:
    client = ChainClient(RetryingProvider(rpc, 20), Account.from_key(key))
    deployed, journal = Contracts.at(client, Deployment.load(Path(contracts))), Journal(Path(home))
    payer = Payer(deployed, InferenceEscrow(client, escrow), journal)
    for text in payer.answer(journal.load(request)):
        print(text, flush=True)
        sys.stdin.readline()


if __name__ == "__main__":
    main(*sys.argv[1:])
