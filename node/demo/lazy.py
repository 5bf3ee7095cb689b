"""A cheat for the demonstration: stakes, claims steps that it never ran, serves nothing, answers nothing."""

from __future__ import annotations

import secrets
import threading
from pathlib import Path

import typer

from consensus.commitments.claim import Claim, ClaimKind
from economics.cohort import inner_steps
from economics.units import neuro
from node import config, keys
from node.chain.client import ChainClient
from node.chain.contracts import Contracts
from node.chain.deployment import Deployment
from node.chain.types import Phase
from node.errors import RevertError
from node.training.ledger import Ledger, RoundView

POLL_SECONDS = 1.0


def invented(view: RoundView, contracts: Contracts) -> Claim:
    """A claim of the right form with roots of nothing."""
    parameters = contracts.registry.parameters()
    steps = min(inner_steps(1), parameters.max_steps)
    return Claim(
        kind=ClaimKind.TRAIN,
        round=view.number,
        node=bytes.fromhex(contracts.client.address[2:]),
        program_hash=parameters.program_hash,
        data_root=parameters.data_root,
        start_root=view.info.start_root,
        end_root=secrets.token_bytes(32),
        trace_root=secrets.token_bytes(32),
        update_root=secrets.token_bytes(32),
        steps=steps,
        tokens=steps * parameters.tokens_per_step,
        first_layer=0,
        layer_count=view.info.layers,
        base=view.number,
    )


def main(home: Path, stake: int) -> None:
    """Cheat in every round that `home`'s key can still stake for, until terminated."""
    settings = config.load(home)
    account = keys.unlock(settings.keystore_dir, keys.password_source(settings.password_file), settings.account)
    deployment = Deployment.load(settings.contracts_file)
    contracts = Contracts.at(ChainClient.connect(settings, account), deployment)
    contracts.staking.stake_with_permit(contracts.token, neuro(stake))
    ledger = Ledger(contracts, deployment.block)
    posted = 0
    while not threading.Event().wait(POLL_SECONDS):
        view = ledger.look()
        if view.phase is Phase.TRAIN and view.number > posted:
            try:
                contracts.registry.post(invented(view, contracts))
            except RevertError as error:
                typer.echo(f"round {view.number}: {error.message}", err=True)
                return
            posted = view.number


if __name__ == "__main__":
    typer.run(main)
