"""Nested junk raises an error in every process of ours; it does not overflow the C stack."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import importlib, json, sys
importlib.import_module(sys.argv[1])
importlib.import_module("eth_account")
try:
    json.loads("[" * 200_000)
except RecursionError:
    print("refused")
"""


@pytest.mark.parametrize(
    "module", ["node.net.process", "node.training.loop", "node.gateway.serving", "node.chain.keeper"]
)
def test_deeply_nested_json_raises_an_error(module: str) -> None:
    command = [sys.executable, "-c", PROGRAM, module]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (0, "refused\n"), done.stderr[-1000:]
