"""The contract's one step equals Python's for every op kind: on a real step's elements, and on any bits at all."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from eth_tester.exceptions import TransactionFailed
from harness import compile_contract
from torch import Tensor
from web3 import EthereumTesterProvider, Web3
from web3.contract import Contract
from web3.exceptions import Web3Exception

from consensus.dispute import onestep
from consensus.model.config import ModelConfig
from consensus.model.init import init_weights
from consensus.program import Kind, Op, Program, step_program
from consensus.program.execute import run
from consensus.program.ops import DType, Operand
from consensus.program.outer import resize_program
from consensus.program.step import PARTS, schedule_row
from consensus.training.optimizer import AdamW
from consensus.training.resize import Change

SOURCE = Path("contracts/test/utils/OneStepOps.sol")
MICRO = ModelConfig("micro", layers=1, width=16, heads=2, seq_len=32, batch=4)
RANDOM_CASES = 200
CALL = 50
WIDTH = {DType.BOOL: 1, DType.INT16: 2, DType.INT32: 4, DType.INT64: 8, DType.FLOAT32: 4}
EDGES = (0, 1, 0x007FFFFF, 0x00800000, 0x3F800000, 0x4B000001, 0x7F7FFFFF, 0x7F800000, 0x7FC00000, 0xFFFFFFFF)
FLOATS, INTEGERS = (DType.FLOAT32,), (DType.INT32, DType.INT64)
SIGNATURES: dict[Kind, tuple[tuple[DType, ...], DType, int]] = {
    **dict.fromkeys((Kind.ADD, Kind.SUB, Kind.MUL, Kind.DIV), (FLOATS, DType.FLOAT32, 2)),
    **dict.fromkeys((Kind.SQRT, Kind.ROUND, Kind.ABS, Kind.COPY), (FLOATS, DType.FLOAT32, 1)),
    **dict.fromkeys((Kind.GT, Kind.GE, Kind.LT), (FLOATS, DType.BOOL, 2)),
    **dict.fromkeys((Kind.INT_ADD, Kind.INT_SUB, Kind.INT_MUL, Kind.INT_DIV), (INTEGERS, DType.INT64, 2)),
    **dict.fromkeys((Kind.INT_GE, Kind.INT_EQ), (INTEGERS, DType.BOOL, 2)),
    Kind.TO_FLOAT: (INTEGERS, DType.FLOAT32, 1),
    Kind.AS_INT: (FLOATS, DType.INT32, 1),
    Kind.AS_FLOAT: ((DType.INT32,), DType.FLOAT32, 1),
}


@pytest.fixture(scope="module")
def contract() -> Contract:
    w3 = Web3(EthereumTesterProvider())
    built = compile_contract(SOURCE, via_ir=True)
    factory = w3.eth.contract(abi=built["abi"], bytecode=built["bytecode"])
    receipt = w3.eth.wait_for_transaction_receipt(factory.constructor().transact())
    return w3.eth.contract(address=receipt["contractAddress"], abi=built["abi"])


@pytest.fixture(scope="module")
def program() -> Program:
    return step_program(MICRO)


@pytest.fixture(scope="module")
def flat(program: Program) -> list[Tensor]:
    """What every op of one step wrote."""
    weights = init_weights(MICRO, b"onestep")
    held = {
        f"{part}/{n}": w if part == "weights" else torch.zeros_like(w) for part in PARTS for n, w in weights.items()
    }
    tokens = torch.randint(0, 256, (4, 33), generator=torch.Generator().manual_seed(5), dtype=torch.int32)
    given = held | {"tokens": tokens, "schedule": schedule_row(AdamW(), 0)}
    return [out.reshape(-1) for _, out in run(program, given)]


@pytest.fixture
def draw(request: pytest.FixtureRequest) -> random.Random:
    return random.Random(f"ponw/onestep/{request.node.name}")  # noqa: S311


def unsigned(value: int, dtype: DType) -> int:
    return value & ((1 << (8 * WIDTH[dtype])) - 1)


def packed(value: int, dtype: DType) -> bytes:
    return unsigned(value, dtype).to_bytes(WIDTH[dtype], "little")


def ask(contract: Contract, cases: list[tuple[bytes, int, list[bytes]]]) -> Iterator[int]:
    for at in range(0, len(cases), CALL):
        yield from contract.functions.elements(cases[at : at + CALL]).call({"gas": 2**40})


def witness(op: Op, index: int, read: onestep.Read) -> list[bytes]:
    """The elements that each operand reads, as memory holds them."""
    at = onestep.unravel(index, op.shape)
    values = [b""] * len(op.operands)
    for number, operand in enumerate(op.operands):
        unread = op.kind is Kind.STACK and number != at[0]
        if operand.source is None or unread:
            continue
        if op.kind is Kind.GATHER and number == 0:
            row = onestep.value(op.operands[1], at, read)
            place = onestep.place(operand, at) + row * op.attributes[0]
            values[0] = packed(read(operand.source, place), operand.dtype)
            continue
        alone = Op(op.kind, op.dtype, op.shape, (operand,), op.extent) if op.extent else None
        places = [p for _, p in onestep.reads(alone, index)] if alone else [onestep.place(operand, at)]
        values[number] = b"".join(packed(read(operand.source, place), operand.dtype) for place in places)
    return values


def test_elements_of_a_real_step(contract: Contract, program: Program, flat: list[Tensor], draw: random.Random) -> None:
    def read(op: int, index: int) -> int:
        value = flat[op][index]
        return int(value.view(torch.int32)) & 0xFFFFFFFF if value.dtype is torch.float32 else int(value)

    by_kind: dict[Kind, list[int]] = {}
    for at, op in enumerate(program.ops):
        by_kind.setdefault(op.kind, []).append(at)
    of_the_outer_step = {Kind.INT_MUL, Kind.INT_DIV}
    assert set(by_kind) - {Kind.INPUT} == onestep.JUDGED - of_the_outer_step
    del by_kind[Kind.INPUT]
    chosen = [(at, draw.randrange(program.ops[at].size)) for ats in by_kind.values() for at in draw.choices(ats, k=6)]
    cases = [(program.descriptor(at), index, witness(program.ops[at], index, read)) for at, index in chosen]
    for (at, index), told in zip(chosen, ask(contract, cases), strict=True):
        op = program.ops[at]
        assert told == unsigned(read(at, index), op.dtype), (at, op.kind.name, index)
        assert onestep.element(op, index, read) == read(at, index)


def test_elements_of_growing_and_shrinking(contract: Contract, draw: random.Random) -> None:
    merges = tuple((draw.randrange(MICRO.vocab + at), draw.randrange(MICRO.vocab + at)) for at in range(260))
    held = {
        f"{part}/{name}": torch.randn((MICRO.vocab, MICRO.width), generator=torch.Generator().manual_seed(2))
        for part in ("weights", "velocity")
        for name in ("embed", "head")
    }
    for change in (Change(MICRO.vocab + 260, merges), Change(200)):
        program = resize_program(MICRO, change)
        outs = [out.reshape(-1) for _, out in run(program, held)]

        def read(op: int, index: int, outs: list[Tensor] = outs) -> int:
            value = outs[op][index]
            return int(value.view(torch.int32)) & 0xFFFFFFFF if value.dtype is torch.float32 else int(value)

        chosen = [
            (at, index)
            for at, op in enumerate(program.ops)
            if op.kind is not Kind.INPUT
            for index in (0, op.size - 1, draw.randrange(op.size))
        ]
        cases = [(program.descriptor(at), index, witness(program.ops[at], index, read)) for at, index in chosen]
        for (at, index), told in zip(chosen, ask(contract, cases), strict=True):
            assert told == unsigned(read(at, index), program.ops[at].dtype), (at, program.ops[at].kind.name, index)


def test_places_are_those_that_python_reads(contract: Contract, program: Program, draw: random.Random) -> None:
    ops = [op for op in program.ops if op.operands and op.kind not in (Kind.STACK, Kind.GATHER)]
    for op in draw.choices(ops, k=40):
        index, term = draw.randrange(op.size), draw.randrange(max(1, _terms(op)))
        told = contract.functions.places(op.encode(lambda _: 0), index, term).call()
        rest = onestep.unravel(term, op.extent) if op.extent else ()
        at = (*onestep.unravel(index, op.shape), *rest)
        assert told == [0 if o.source is None else onestep.place(o, at) for o in op.operands], op.kind.name


def _terms(op: Op) -> int:
    count = 1
    for size in op.extent:
        count *= size
    return count


def any_bits(draw: random.Random, dtype: DType) -> int:
    if dtype is DType.FLOAT32:
        return draw.choice(EDGES) ^ draw.choice((0, 2**31)) if draw.random() < 0.5 else draw.getrandbits(32)
    width = 8 * WIDTH[dtype]
    return draw.choice((0, 1, -1, -(1 << (width - 1)), draw.getrandbits(width - 1), -draw.getrandbits(width - 1)))


@pytest.mark.parametrize("kind", SIGNATURES, ids=lambda kind: kind.name)
def test_any_bits_at_all(contract: Contract, draw: random.Random, kind: Kind) -> None:
    takes, gives, count = SIGNATURES[kind]
    cases, wanted = [], []
    for _ in range(RANDOM_CASES):
        dtype = draw.choice(takes)
        operands = tuple(Operand(i, dtype, 0, (0,)) for i in range(count))
        given = [any_bits(draw, dtype) for _ in operands]
        op = Op(kind, gives, (1,), operands)
        wanted.append(unsigned(onestep.element(op, 0, lambda source, _, given=given: given[source]), gives))
        cases.append((op.encode(lambda _: 0), 0, [packed(value, dtype) for value in given]))
    assert list(ask(contract, cases)) == wanted


@pytest.mark.parametrize("dtype", [DType.INT16, DType.INT32, DType.INT64], ids=lambda dtype: dtype.name)
def test_any_float_as_an_integer(contract: Contract, draw: random.Random, dtype: DType) -> None:
    op = Op(Kind.TO_INT, dtype, (1,), (Operand(0, DType.FLOAT32, 0, (0,)),))
    given = [any_bits(draw, DType.FLOAT32) for _ in range(RANDOM_CASES)]
    cases = [(op.encode(lambda _: 0), 0, [packed(one, DType.FLOAT32)]) for one in given]
    wanted = [unsigned(onestep.element(op, 0, lambda *_, one=one: one), dtype) for one in given]
    assert list(ask(contract, cases)) == wanted


REDUCED: dict[Kind, tuple[tuple[DType, ...], DType]] = {
    Kind.MAX: ((DType.FLOAT32,), DType.FLOAT32),
    Kind.INT_SUM: ((DType.INT32,), DType.INT64),
    Kind.DOT: ((DType.INT16, DType.INT16), DType.INT32),
    Kind.SUM_AT: ((DType.INT32, DType.INT32), DType.INT32),
}


@pytest.mark.parametrize("kind", REDUCED, ids=lambda kind: kind.name)
def test_reductions_of_any_bits(contract: Contract, draw: random.Random, kind: Kind) -> None:
    takes, gives = REDUCED[kind]
    cases, wanted = [], []
    for terms in (1, 2, 7, 16, 64, 512):
        for _ in range(5):
            operands = tuple(Operand(i, dtype, 0, (0, 1)) for i, dtype in enumerate(takes))
            rows = [[any_bits(draw, dtype) for _ in range(terms)] for dtype in takes]
            if kind is Kind.SUM_AT:
                rows[0] = [draw.randrange(3) for _ in range(terms)]
            op = Op(kind, gives, (3,), operands, (terms,))
            index = draw.randrange(3)
            wanted.append(unsigned(onestep.element(op, index, lambda s, at, rows=rows: rows[s][at]), gives))
            values = [b"".join(packed(v, d) for v in row) for row, d in zip(rows, takes, strict=True)]
            cases.append((op.encode(lambda _: 0), index, values))
    assert list(ask(contract, cases)) == wanted


def test_what_is_no_op_is_refused(contract: Contract, program: Program) -> None:
    good = next(op for op in program.ops if op.kind is Kind.MUL)
    values = [b"" if o.source is None else bytes(4) for o in good.operands]
    refused: list[tuple[str, Any]] = [
        ("cut short", (good.encode(lambda _: 0)[:-1], 0, values)),
        ("with a tail", (good.encode(lambda _: 0) + b"\0", 0, values)),
        ("an input", (program.descriptor(0), 0, [])),
        ("an unknown kind", (bytes([99]) + good.encode(lambda _: 0)[1:], 0, values)),
        ("an operand of the wrong size", (good.encode(lambda _: 0), 0, [bytes(5), *values[1:]])),
    ]
    passed = []
    for what, case in refused:
        try:
            contract.functions.elements([case]).call()
        except (Web3Exception, TransactionFailed):
            continue
        passed.append(what)
    assert passed == []
