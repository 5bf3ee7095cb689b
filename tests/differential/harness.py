"""Compiles test contracts with the repository's compiler; deploys ``Harness.sol`` on an in-process EVM."""

import hashlib
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

from web3 import EthereumTesterProvider, Web3
from web3.contract import Contract

ROOT = Path(__file__).resolve().parents[2]
SOURCE = Path("tests/differential/Harness.sol")
STAMPS = ROOT / ".stamps"
_IMPORT = re.compile(r'^import\s[^"]*"([^"]+)";', re.MULTILINE)


def _file(unit: str) -> Path:
    return ROOT / "node_modules" / unit if unit.startswith("@") else ROOT / unit


def _resolve(name: str, importer: str) -> str:
    """The source unit that ``importer`` means by ``name``."""
    if not name.startswith("."):
        return name
    parts = importer.split("/")[:-1]
    for part in name.split("/"):
        if part == "..":
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


def _sources(source: Path) -> dict[str, dict[str, str]]:
    """A source and all it imports, by source unit name."""
    found: dict[str, dict[str, str]] = {}
    waiting = [source.as_posix()]
    while waiting:
        unit = waiting.pop()
        if unit in found:
            continue
        text = _file(unit).read_text(encoding="utf-8")
        found[unit] = {"content": text}
        waiting += [_resolve(name, unit) for name in _IMPORT.findall(text)]
    return found


def compile_contract(source: Path = SOURCE, via_ir: bool = False) -> dict[str, Any]:
    """ABI, bytecode and deployed bytecode of the contract that ``source`` (relative to the repository) is named after.

    They come from ``.stamps`` when no source has changed. ``via_ir`` compiles as forge does here: slower, with the gas
    that users pay.
    """
    name = source.stem
    request = {
        "language": "Solidity",
        "sources": _sources(source),
        "settings": {
            "evmVersion": "cancun",
            "optimizer": {"enabled": True, "runs": 10_000},
            "viaIR": via_ir,
            "outputSelection": {"*": {name: ["abi", "evm.bytecode.object", "evm.deployedBytecode.object"]}},
        },
    }
    text = json.dumps(request, sort_keys=True)
    cached = STAMPS / f"{name.lower()}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"
    if cached.exists():
        return dict(json.loads(cached.read_text(encoding="utf-8")))
    command = ["node", str(ROOT / "tools" / "solc"), "--standard-json"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True, cwd=ROOT)
    output = json.loads(done.stdout)
    errors = [error["formattedMessage"] for error in output.get("errors", []) if error["severity"] == "error"]
    assert not errors, "\n".join(errors)
    contract = output["contracts"][source.as_posix()][name]
    built = {
        "abi": contract["abi"],
        "bytecode": contract["evm"]["bytecode"]["object"],
        "deployed": contract["evm"]["deployedBytecode"]["object"],
    }
    STAMPS.mkdir(exist_ok=True)
    temporary = cached.with_suffix(f".{os.getpid()}")  # another test process may be doing the same
    temporary.write_text(json.dumps(built), encoding="utf-8")
    temporary.replace(cached)
    return built


def deploy() -> tuple[Web3, Contract]:
    """The harness on a fresh chain."""
    w3 = Web3(EthereumTesterProvider())
    built = compile_contract()
    factory = w3.eth.contract(abi=built["abi"], bytecode=built["bytecode"])
    receipt = w3.eth.wait_for_transaction_receipt(factory.constructor().transact())
    assert receipt["status"] == 1
    return w3, w3.eth.contract(address=receipt["contractAddress"], abi=built["abi"])
