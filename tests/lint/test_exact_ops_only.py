"""Consensus holds exact operations only; and the check that says so finds each thing that it forbids."""

from pathlib import Path

import pytest
from exact_ops import check

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "consensus").rglob("*.py"))

FORBIDDEN = [
    "import time",
    "import random",
    "import socket",
    "import os",
    "import os.path as p",
    "import pathlib",
    "from pathlib import Path",
    "from time import monotonic",
    "from numpy import random",
    "import numpy.random as r",
    "from torch.distributions import Normal",
    "open('x')",
    "eval('1')",
    "import math\nmath.exp(1.0)",
    "import math\nmath.pow(2, 3)",
    "import math as m\nm.sin(1)",
    "import math\nmath.cos(1)",
    "from math import log",
    "import torch\ntorch.rand(3)",
    "import torch\ntorch.randn(3)",
    "import torch\ntorch.randperm(3)",
    "import torch as t\nt.randint(0, 3, (2,))",
    "import torch\nf = torch.exp",
    "import torch\ngetattr(torch, 'exp')",
    "from torch import tanh",
    "from torch.nn.functional import gelu",
    "import torch.nn.functional as F\nF.softmax(x, -1)",
    "import torch.nn.functional as F\nF.layer_norm(x, (3,))",
    "x.log()",
    "x.exp_().tanh()",
    "x.mean()",
    "x.std()",
    "x.pow(2)",
    "x ** 2",
    "x ** 0.5",
    "1.5 ** 3",
    "x **= 2",
    "x.sum()",
    "x.sum(-1, keepdim=True)",
    "x.sum(dtype=torch.float32)",
    "x.to(torch.float64).sum()",
    "torch.sum(x)",
    "np.sum(x)",
    "x.cumsum(0)",
    "torch.einsum('ij,jk', a, b)",
    "torch.addcmul(a, b, c)",
    "a.addcdiv(b, c)",
    "a.addcdiv_(b, c)",
    "a.lerp(b, 0.5)",
    "torch.addmm(a, b, c)",
    "a.add(b, alpha=0.1)",
    "a.sub_(b, alpha=2)",
    "a @ b",
    "a @= b",
    "torch.matmul(a, b)",
    "a.mm(b)",
    "torch.bmm(a, b)",
    "torch._int_mm(a, b)",
    "torch.sqrt(x)",
    "x.index_add_(0, i, y)",
    "torch.manual_seed(0)",
    "torch.autocast('cpu')",
    "torch.set_flush_denormal(True)",
    "torch.backends.cuda.matmul.allow_tf32",
]

ALLOWED = [
    "import hashlib\nimport struct\nimport torch\nimport numpy as np",
    "import math\nmath.sqrt(2.0)\nmath.ceil(1.5)\nmath.isfinite(x)",
    "x + y * z - w / v",
    "torch.round(x)\nx.abs().amax(-1)\ntorch.minimum(x, y)",
    "x.sum(-1, dtype=torch.int64)",
    "x.to(torch.int64).sum()",
    "np.sum(x.astype(np.int64))",
    "sum(lengths)",
    "2**32 - 1\n2.0**-23\n2.0 ** (bits - 1)\n10**18",
    "engine.matmul(a, b)\nself.engine.matmul(a, b)",
]

KERNEL_ONLY = ["torch.matmul(a, b)", "a @ b", "torch._int_mm(a, b)", "torch.sqrt(x)"]


@pytest.mark.parametrize("path", MODULES)
def test_consensus_is_clean(path: str) -> None:
    assert [str(finding) for finding in check((ROOT / path).read_text(encoding="utf-8"), path)] == []


def test_there_is_something_to_check() -> None:
    assert len(MODULES) > 15
    assert "consensus/model/gpt.py" in MODULES


@pytest.mark.parametrize("snippet", FORBIDDEN)
def test_forbidden_code_is_found(snippet: str) -> None:
    assert check(snippet, "consensus/training/step.py")


@pytest.mark.parametrize("snippet", ALLOWED)
def test_exact_code_passes(snippet: str) -> None:
    assert check(snippet, "consensus/training/step.py") == []


@pytest.mark.parametrize("snippet", KERNEL_ONLY)
def test_products_and_roots_are_for_kernels(snippet: str) -> None:
    assert check(snippet, "consensus/model/gpt.py")
    assert check(snippet, "consensus/commitments/reference.py"), "the name alone makes no kernel"
    for kernel in ("reference", "products", "kernels_cuda"):
        assert check(snippet, f"consensus/arithmetic/{kernel}.py") == []


def test_kernels_are_checked_for_all_the_rest() -> None:
    assert check("torch.exp(x)", "consensus/arithmetic/reference.py")


def test_a_finding_says_where() -> None:
    found = check("x = 1\ny = x.mean()\n", "consensus/a.py")
    assert [str(finding) for finding in found] == ["consensus/a.py:2: mean is outside the exact set"]
