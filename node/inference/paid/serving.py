"""Paid answers beside free ones: what `ponw serve --paid` adds to the application."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fastapi import APIRouter

from node import paths
from node.chain.contracts import Contracts
from node.chain.deployment import Deployment
from node.chain.escrow import InferenceEscrow
from node.config import Settings
from node.dispute.court import Player
from node.errors import ConfigError
from node.inference.model import Model
from node.inference.paid.exhibit import Records
from node.inference.paid.journal import Journal
from node.inference.paid.routes import paid_routes
from node.inference.paid.seam import Answerer
from node.inference.paid.signing import AnswerSigner
from node.inference.paid.weights import KeptWeights
from node.storage.store import Store

LOCK_NAME = "paid.lock"


@contextmanager
def paid_router(settings: Settings, contracts: Contracts, answerer: Answerer, model: Model) -> Iterator[APIRouter]:
    """The paid routes of the home's account, which answers with `model`, and a player that stands up for its answers
    before the court. The application must be down before the block ends.

    Raises:
        ConfigError: another process answers for money from this home. ContractsError: the network has no escrow.
        DatabaseError, DiskError: see Store.open.
    """
    deployment = Deployment.load(settings.contracts_file)
    escrow = InferenceEscrow.of(contracts.client, deployment)
    with _alone(settings.home), Store.open(settings.home) as store:
        journal, weights = Journal(settings.home), KeptWeights(settings.home)
        signer, records = AnswerSigner(contracts, store, model), Records(contracts.court.domain, store, journal)
        signer.prepare(weights, journal)
        with (
            Player(contracts, records.find, weights, deployment.block),
            paid_routes(answerer, store, contracts, escrow, signer=signer) as router,
        ):
            yield router


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """One process at a time: it takes what it finds being served for broken off."""
    paths.private_folder(home)
    handle = os.open(home / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, paths.PRIVATE_FILE)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise ConfigError(
            f"Another process answers for money from {home}.", "Stop it, or use another home with --home."
        ) from error
    finally:
        os.close(handle)
