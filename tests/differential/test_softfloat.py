"""The EVM's scalar arithmetic equals the processor's, bit for bit, modulo NaN payloads (processors choose them).

``SOFTFLOAT_CASES`` sets the cases an op; every pair of edges is always among them.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from eth_abi.abi import decode, encode
from harness import compile_contract
from numpy.typing import NDArray
from softfloat_cases import BINARY, NAN, UNARY, bits_of, floats, integers, pairs, singles
from web3 import Web3

from consensus.arithmetic import products, reference
from consensus.arithmetic.compiled import Compiled
from consensus.arithmetic.library import VARIANTS, load
from node.chain import keeper
from node.chain.devnet import Running

pytestmark = pytest.mark.process

CASES = int(os.environ.get("SOFTFLOAT_CASES", "20000"))
CALL = 20_000
"""Cases in one call."""
ADDRESS = "0x" + "5f" * 20
GAS = hex(10**12)
Call = Callable[..., Any]


@pytest.fixture(scope="module")
def call(anvil: Running) -> Call:
    """Calls a function of ``ScalarOps`` by its signature; returns its one result."""
    built = compile_contract(Path("contracts/test/utils/ScalarOps.sol"), via_ir=True)
    keeper.rpc(anvil.port, "anvil_setCode", ADDRESS, "0x" + built["deployed"])

    def function(signature: str, returns: str, *arguments: object) -> Any:
        types = signature[signature.index("(") + 1 : -1].split(",")
        data = Web3.keccak(text=signature)[:4] + encode(types, arguments)
        given = {"to": ADDRESS, "data": "0x" + data.hex(), "gas": GAS}
        answer = str(keeper.rpc(anvil.port, "eth_call", given, "latest", timeout=60.0))
        return decode([returns], bytes.fromhex(answer[2:]))[0]

    return function


@pytest.fixture
def draw(request: pytest.FixtureRequest) -> np.random.Generator:
    return np.random.default_rng(list(f"ponw/softfloat/1/{request.node.name}".encode()))


def parts(count: int) -> list[slice]:
    return [slice(at, at + CALL) for at in range(0, count, CALL)]


def binary(call: Call, op: str, a: NDArray[np.uint32], b: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """The EVM's results, as the bits they come in."""
    index = list(BINARY).index(op)
    packed = np.stack([a, b], 1).astype(">u4")
    given = [call("binary(uint256,bytes)", "bytes", index, packed[part].tobytes()) for part in parts(len(a))]
    return np.frombuffer(b"".join(given), dtype=">u4").astype(np.uint32)


def unary(call: Call, index: int, cases: NDArray[Any]) -> NDArray[np.uint64]:
    packed = cases.astype(">u8")
    given = [call("unary(uint256,bytes)", "bytes", index, packed[part].tobytes()) for part in parts(len(cases))]
    return np.frombuffer(b"".join(given), dtype=">u8").astype(np.uint64)


def assert_same(ours: NDArray[Any], theirs: NDArray[Any], *cases: NDArray[Any]) -> None:
    """Equal bit for bit; names the first case that is not."""
    wrong = np.flatnonzero(ours != theirs)
    if len(wrong):
        first = wrong[0]
        shown = ", ".join(f"{int(case[first]):#x}" for case in cases)
        pytest.fail(
            f"{len(wrong)} of {len(ours)} differ; ({shown}) gives {ours[first]:#x}, expected {theirs[first]:#x}"
        )


def expected(result: NDArray[Any]) -> NDArray[np.uint32]:
    """The bits of a float result with the one NaN of the contracts, or 0 and 1 of a truth value."""
    if result.dtype == np.bool_:
        return result.astype(np.uint32)
    return np.where(np.isnan(result), np.uint32(NAN), bits_of(result))


@pytest.mark.parametrize("op", BINARY)
def test_of_two_numbers(call: Call, draw: np.random.Generator, op: str) -> None:
    a, b = pairs(draw, CASES)
    with np.errstate(all="ignore"):
        theirs = expected(BINARY[op](floats(a), floats(b)))
    assert_same(binary(call, op, a, b), theirs, a, b)


@pytest.mark.parametrize("op", UNARY)
def test_of_one_number(call: Call, draw: np.random.Generator, op: str) -> None:
    a = singles(draw, CASES)
    with np.errstate(all="ignore"):
        result = UNARY[op](floats(a))
    theirs = result.astype(np.uint64) if result.dtype == np.int64 else expected(result).astype(np.uint64)
    assert_same(unary(call, list(UNARY).index(op), a), theirs, a)


def test_of_an_integer(call: Call, draw: np.random.Generator) -> None:
    a = integers(draw, CASES)
    assert_same(unary(call, len(UNARY), a.view(np.uint64)), bits_of(a).astype(np.uint64), a.view(np.uint64))


def test_the_reference_square_root_is_correctly_rounded(call: Call, draw: np.random.Generator) -> None:
    a = singles(draw, CASES)
    theirs = reference.square_root(torch.from_numpy(floats(a).copy())).numpy()
    assert_same(unary(call, 0, a), expected(theirs).astype(np.uint64), a)


def test_the_reference_ops_are_these(call: Call, draw: np.random.Generator) -> None:
    a, b = pairs(draw, CASES)
    x, y = torch.from_numpy(floats(a).copy()), torch.from_numpy(floats(b).copy())
    for op, theirs in (("add", x + y), ("sub", x - y), ("mul", x * y), ("div", reference.divide(x, y))):
        assert_same(binary(call, op, a, b), expected(theirs.numpy()), a, b)
    assert_same(unary(call, 1, a), expected(torch.round(x).numpy()).astype(np.uint64), a)


def dots(call: Call, a: NDArray[np.int16], b: NDArray[np.int16]) -> list[int]:
    size = a.shape[1] * 2
    rows = max(1, 400_000 // size)
    given = [
        call("dots(uint256,bytes,bytes)", "int256[]", size, a[at : at + rows].tobytes(), b[at : at + rows].tobytes())
        for at in range(0, len(a), rows)
    ]
    return [total for part in given for total in part]


def terms(draw: np.random.Generator, rows: int, k: int) -> NDArray[np.int16]:
    """Rows of several kinds: uniform, small, only extremes, one sign; each holds 2047 somewhere: its scale is 1."""
    kinds = (
        draw.integers(-2047, 2048, (rows, k)),
        draw.integers(-20, 21, (rows, k)),
        draw.choice((-2047, 2047), (rows, k)),
        np.full((rows, k), -2047),
        np.full((rows, k), 2047),
    )
    chosen = np.stack(kinds)[draw.integers(0, len(kinds), rows), np.arange(rows)]
    chosen[np.arange(rows), draw.integers(0, k, rows)] = 2047
    return chosen.astype("<i2")


@pytest.mark.parametrize("k", [1, 2, 15, 16, 17, 31, 32, 64, 128, 255, 256, 511, 512])
def test_dot_products(call: Call, draw: np.random.Generator, k: int) -> None:
    rows = max(40, CASES // 100)
    a, b = terms(draw, rows, k), terms(draw, rows, k)
    ours = dots(call, a, b)
    x, y = torch.from_numpy(a.astype(np.float32)), torch.from_numpy(b.astype(np.float32))
    assert ours == products.fp64(x[:, None, :], y[:, None, :]).flatten().tolist()
    libraries = [library for library in map(load, VARIANTS) if library is not None]
    for library in libraries:
        engine = Compiled(library)
        engine.begin()
        theirs, _ = engine.linear(x[:64], engine.pack_weight("b", y[:64]))
        assert theirs.diagonal().tolist() == np.array(ours[:64]).astype(np.float32).tolist(), library.isa


def test_dot_products_over_all_of_twelve_bits(call: Call, draw: np.random.Generator) -> None:
    a = draw.integers(-2048, 2048, (200, 512)).astype("<i2")
    b = draw.integers(-2048, 2048, (200, 512)).astype("<i2")
    a[0], b[0] = -2048, -2048
    a[1], b[1] = -2048, 2047
    assert dots(call, a, b) == (a.astype(np.int64) * b).sum(1).tolist()
