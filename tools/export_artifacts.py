"""Write the compiled contracts as package data, so that a node runs without Node.js.

Reads forge's output in contracts/out and writes node/chain/artifacts/NAME.json with contractName, abi and bytecode
(creation code, 0x-hex). A contract's abi also holds the custom errors of the contracts it calls, since their reverts
surface in its own transactions. `--check` writes nothing and fails if a committed file differs.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
BUILT = ROOT / "contracts" / "out"
TARGET = ROOT / "node" / "chain" / "artifacts"
# Each contract with those whose errors can surface in a call to it.
CONTRACTS: dict[str, tuple[str, ...]] = {
    "NeuroToken": (),
    "Staking": ("NeuroToken",),
    "Emission": ("NeuroToken",),
    "WorkRegistry": ("Quorums", "Judge", "Staking", "Emission", "NeuroToken", "Vocabulary"),
    "Scalar": (),
    "Judge": ("Scalar", "WorkRegistry", "Quorums", "Staking", "Emission", "NeuroToken"),
    "Vocabulary": ("Staking", "Emission", "NeuroToken"),
    "VocabularyGovernor": ("Vocabulary", "Staking", "Emission", "NeuroToken"),
    "GrowthGovernor": ("Vocabulary", "Staking"),
    "EmergencyGovernor": ("Vocabulary", "Staking", "Emission", "NeuroToken"),
    "InferenceEscrow": ("NeuroToken",),
    "AnswerCourt": ("Judge", "Staking", "NeuroToken"),
    "Quorums": ("WorkRegistry", "Staking", "Emission", "NeuroToken"),
}

AbiEntry = dict[str, Any]


def load(name: str) -> dict[str, Any]:
    """Return forge's artifact of contract `name`; exits with a hint if it was not built."""
    path = BUILT / f"{name}.sol" / f"{name}.json"
    if not path.is_file():
        sys.exit(f"{path.relative_to(ROOT)} is missing: run `forge build` first")
    artifact: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return artifact


def signature(entry: AbiEntry) -> str:
    """Return an identity of an ABI entry by kind, name and input types."""
    inputs = ",".join(json.dumps(item, sort_keys=True) for item in entry.get("inputs", ()))
    return f"{entry['type']} {entry.get('name', '')}({inputs})"


def merged_abi(name: str) -> list[AbiEntry]:
    """Return the abi of `name` with the errors of the contracts it calls, in one stable order."""
    entries: dict[str, AbiEntry] = {signature(entry): entry for entry in load(name)["abi"]}
    for called in CONTRACTS[name]:
        for entry in load(called)["abi"]:
            if entry["type"] == "error":
                entries.setdefault(signature(entry), entry)
    return [entries[key] for key in sorted(entries)]


def render(name: str) -> str:
    """Return the text of the exported file of contract `name`."""
    document = {"contractName": name, "abi": merged_abi(name), "bytecode": load(name)["bytecode"]["object"]}
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def stale(texts: dict[Path, str]) -> list[str]:
    """Return the names of files that differ from `texts`, are missing, or belong to no contract."""
    differing = [
        path.name for path, text in texts.items() if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]
    return differing + [path.name for path in sorted(TARGET.glob("*.json")) if path not in texts]


def main() -> int:
    """Export, or check with `--check`; returns the exit status."""
    parser = argparse.ArgumentParser(description="Export compiled contracts to node/chain/artifacts.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a committed file differs")
    check = parser.parse_args().check
    texts = {TARGET / f"{name}.json": render(name) for name in CONTRACTS}
    differing = stale(texts)
    if check:
        if differing:
            print(f"stale: {', '.join(differing)}; run tools/export_artifacts.py", file=sys.stderr)
        return 1 if differing else 0
    TARGET.mkdir(parents=True, exist_ok=True)
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
    for name in stale(texts):
        (TARGET / name).unlink()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
