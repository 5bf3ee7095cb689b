"""The checks of `ponw doctor`: each returns lines of ok, warn or fail, with a fix for what is not ok."""

from __future__ import annotations

import importlib
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from node import keys
from node.chain.client import ChainClient
from node.chain.contracts import Contracts
from node.chain.deployment import Deployment
from node.chain.units import format_units
from node.config import Settings
from node.data.dataset import Dataset
from node.data.manifest import load_manifest
from node.errors import PonwError

LEAST_PYTHON = (3, 11)
LEAST_FREE_BYTES = {"tiny": 1 << 30, "small": 4 << 30, "base": 32 << 30}
"""Room for checkpoints of a few rounds, by preset."""
LOW_GAS_WEI = 10**16
"""About a hundred transactions at common fees."""


class Verdict(StrEnum):
    """How a check went: fail stops the node, warn does not."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Line:
    """One finding."""

    check: str
    verdict: Verdict
    detail: str
    fix: str = ""


def run_checks(settings: Settings) -> Iterator[Line]:
    """All findings, cheapest first; a later check is left out where an earlier one makes it meaningless."""
    yield _python()
    yield _torch()
    yield _kernels(settings)
    yield _disk(settings)
    yield _dataset(settings)
    yield from _keystore(settings)
    yield from _chain(settings)


def _failed(check: str, error: PonwError) -> Line:
    return Line(check, Verdict.FAIL, error.message, error.hint)


def _python() -> Line:
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info >= LEAST_PYTHON:
        return Line("python", Verdict.OK, found)
    return Line("python", Verdict.FAIL, found, "Install Python 3.11 or newer.")


def _torch() -> Line:
    try:
        found = version("torch").split("+")[0]
    except PackageNotFoundError:
        return Line("torch", Verdict.FAIL, "not installed", "Install the package again: pip install ponw")
    pinned = _pinned_torch()
    if pinned is not None and found != pinned:
        return Line("torch", Verdict.FAIL, f"{found}, but consensus pins {pinned}", f"pip install torch=={pinned}")
    return Line("torch", Verdict.OK, found if pinned else f"{found} (run from a source tree, the pin is not checked)")


def _pinned_torch() -> str | None:
    try:
        needed = requires("ponw") or []
    except PackageNotFoundError:
        return None
    exact = [item.split("==", 1)[1].split(";")[0].strip() for item in needed if item.startswith("torch==")]
    return exact[0] if exact else None


def _kernels(settings: Settings) -> Line:
    # torch takes seconds to import, and the checks before this one do not need it.
    arithmetic = importlib.import_module("consensus.arithmetic")
    errors = importlib.import_module("consensus.errors")
    try:
        engine = arithmetic.choose_engine(settings.threads or 0, settings.max_isa, devices=True)
    except errors.KernelError as error:
        return Line("kernels", Verdict.FAIL, error.message, error.hint)
    missing = importlib.import_module("node.gpu").note()
    if missing:
        return Line("kernels", Verdict.WARN, f"{engine.name} passed its self-check, on the processor", missing)
    return Line("kernels", Verdict.OK, f"{engine.name} passed its self-check")


def _disk(settings: Settings) -> Line:
    free = shutil.disk_usage(_existing(settings.home)).free
    least = LEAST_FREE_BYTES[settings.preset]
    detail = f"{free >> 20} MiB free under {settings.home}"
    if free >= least:
        return Line("disk", Verdict.OK, detail)
    return Line("disk", Verdict.WARN, detail, f"Free {(least - free) >> 20} MiB for checkpoints, or move the home.")


def _existing(path: Path) -> Path:
    return next(parent for parent in (path, *path.parents) if parent.exists())


def _dataset(settings: Settings) -> Line:
    try:
        if load_manifest(settings.data_path) is None:
            return Line("data", Verdict.FAIL, f"no dataset in {settings.data_path}", "Run `ponw init`.")
        dataset = Dataset.open(settings.data_path)
    except PonwError as error:
        return _failed("data", error)
    return Line("data", Verdict.OK, f"root 0x{dataset.root.hex()[:16]}…, {len(dataset.manifest.shards)} shards")


def _keystore(settings: Settings) -> Iterator[Line]:
    try:
        key = keys.select(settings.keystore_dir, settings.account)
    except PonwError as error:
        yield _failed("keystore", error)
        return
    if key.path.stat().st_mode & 0o077:
        yield Line("keystore", Verdict.FAIL, f"other users may read {key.path}", f"chmod 600 {key.path}")
    else:
        yield Line("keystore", Verdict.OK, key.address)


def _chain(settings: Settings) -> Iterator[Line]:
    try:
        client = ChainClient.connect(settings)
    except PonwError as error:
        yield _failed("rpc", error)
        return
    yield Line("rpc", Verdict.OK, f"chain {client.chain_id}, block {client.block().number}")
    try:
        contracts = Contracts.at(client, Deployment.load(settings.contracts_file))
        parameters = contracts.registry.parameters()
    except PonwError as error:
        yield _failed("contracts", error)
        return
    yield Line("contracts", Verdict.OK, f"registry {contracts.registry.address}")
    yield _same_data(settings, parameters.data_root)
    yield from _balances(settings, contracts)


def _same_data(settings: Settings, network_root: bytes) -> Line:
    try:
        manifest = load_manifest(settings.data_path)
    except PonwError as error:
        return _failed("network data", error)
    own = manifest.root if manifest is not None else b""
    if own == network_root:
        return Line("network data", Verdict.OK, "the network trains on this dataset")
    return Line(
        "network data",
        Verdict.FAIL,
        f"the network trains on 0x{network_root.hex()}, which is not the dataset here",
        "Add the network's own texts in a fresh data folder (`data_dir`), or join another network.",
    )


def _balances(settings: Settings, contracts: Contracts) -> Iterator[Line]:
    found = [key for key in keys.list_keys(settings.keystore_dir) if _is_chosen(settings, key.address)]
    for key in found[:1]:
        gas = contracts.client.balance(key.address)
        fix = "Send ETH to the address; on a devnet `ponw devnet up` does."
        yield Line("gas", Verdict.OK if gas >= LOW_GAS_WEI else Verdict.FAIL, format_units(gas, "ETH"), fix)
        active, least = contracts.staking.account_of(key.address).active, contracts.staking.minimum_stake()
        detail = f"{format_units(active)} staked, {format_units(contracts.token.balance_of(key.address))} held"
        fix = f"Stake at least {format_units(least)}: `ponw stake add AMOUNT`."
        yield Line("stake", Verdict.OK if active >= least else Verdict.WARN, detail, fix)


def _is_chosen(settings: Settings, address: str) -> bool:
    return settings.account is None or settings.account.lower() == address.lower()
