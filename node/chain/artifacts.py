"""The compiled contracts that ship with the package: ABI and creation code, one JSON file a contract."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from importlib import resources
from typing import Any

CONTRACT_NAMES = (
    "NeuroToken",
    "Staking",
    "Emission",
    "WorkRegistry",
    "Scalar",
    "Judge",
    "Vocabulary",
    "VocabularyGovernor",
    "EmergencyGovernor",
    "InferenceEscrow",
    "AnswerCourt",
    "Judge",
    "Quorums",
    "GrowthGovernor",
)
"""In order of deployment."""


@dataclass(frozen=True)
class Artifact:
    """One compiled contract; its ABI also holds the custom errors of the contracts it calls."""

    name: str
    abi: list[dict[str, Any]]
    bytecode: str

    def entries(self, kind: str) -> list[dict[str, Any]]:
        """The ABI's entries of one kind: "function", "event", "error" or "constructor"."""
        return [entry for entry in self.abi if entry["type"] == kind]


@functools.cache
def load(name: str) -> Artifact:
    """The artifact of one contract, read from the installed package.

    Raises:
        FileNotFoundError: the package has no such contract.
    """
    text = resources.files("node.chain").joinpath("artifacts", f"{name}.json").read_text(encoding="utf-8")
    document = json.loads(text)
    return Artifact(document["contractName"], document["abi"], document["bytecode"])


@functools.cache
def all_errors() -> tuple[dict[str, Any], ...]:
    """Every distinct custom error of every contract, by name and input types."""
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for name in CONTRACT_NAMES:
        for entry in load(name).entries("error"):
            found[(entry["name"], *(item["type"] for item in entry["inputs"]))] = entry
    return tuple(found.values())
