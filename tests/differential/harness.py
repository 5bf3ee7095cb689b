"""Compiles ``Harness.sol`` with the repository's compiler and deploys it on an in-process EVM."""

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


def _sources() -> dict[str, dict[str, str]]:
    """The harness and all it imports, by source unit name."""
    found: dict[str, dict[str, str]] = {}
    waiting = [SOURCE.as_posix()]
    while waiting:
        unit = waiting.pop()
        if unit in found:
            continue
        text = _file(unit).read_text(encoding="utf-8")
        found[unit] = {"content": text}
        waiting += [_resolve(name, unit) for name in _IMPORT.findall(text)]
    return found


def compile_harness() -> dict[str, Any]:
    """ABI and bytecode, from ``.stamps`` when no source has changed."""
    request = {
        "language": "Solidity",
        "sources": _sources(),
        "settings": {
            "evmVersion": "cancun",
            "optimizer": {"enabled": True, "runs": 10_000},
            "outputSelection": {"*": {"Harness": ["abi", "evm.bytecode.object"]}},
        },
    }
    text = json.dumps(request, sort_keys=True)
    cached = STAMPS / f"harness-{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"
    if cached.exists():
        return dict(json.loads(cached.read_text(encoding="utf-8")))
    command = ["node", str(ROOT / "tools" / "solc"), "--standard-json"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True, cwd=ROOT)
    output = json.loads(done.stdout)
    errors = [error["formattedMessage"] for error in output.get("errors", []) if error["severity"] == "error"]
    assert not errors, "\n".join(errors)
    contract = output["contracts"][SOURCE.as_posix()]["Harness"]
    built = {"abi": contract["abi"], "bytecode": contract["evm"]["bytecode"]["object"]}
    STAMPS.mkdir(exist_ok=True)
    temporary = cached.with_suffix(f".{os.getpid()}")  # another test process may be doing the same
    temporary.write_text(json.dumps(built), encoding="utf-8")
    temporary.replace(cached)
    return built


def deploy() -> tuple[Web3, Contract]:
    """The harness on a fresh chain."""
    w3 = Web3(EthereumTesterProvider())
    built = compile_harness()
    factory = w3.eth.contract(abi=built["abi"], bytecode=built["bytecode"])
    receipt = w3.eth.wait_for_transaction_receipt(factory.constructor().transact())
    assert receipt["status"] == 1
    return w3, w3.eth.contract(address=receipt["contractAddress"], abi=built["abi"])
