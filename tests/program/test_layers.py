"""Which layer an op works for: what a quorum's fault is pinned to."""

from __future__ import annotations

import pytest

from consensus.commitments import tree
from consensus.errors import ProgramError
from consensus.model.config import ModelConfig
from consensus.program.layers import LayerTable, Segment, layer_of
from consensus.program.ops import NO_LAYER, Kind, Program
from consensus.program.step import step_program
from consensus.program.update import update_program

THREE = ModelConfig("three", layers=3, width=16, heads=2, seq_len=32, batch=32)
"""Two micro-batches a step, so that gradients are added up."""
LAST = THREE.layers - 1


@pytest.fixture(scope="module")
def step() -> Program:
    return step_program(THREE)


@pytest.fixture(scope="module")
def table(step: Program) -> LayerTable:
    return LayerTable.of(THREE, step, update_program(THREE))


def test_a_tensors_layer_follows_from_its_name() -> None:
    layer = layer_of(THREE)
    names = ("weights/embed", "m/position", "layer001.mlp_out", "v/layer000.attn_in", "head", "loss")
    assert [layer(name) for name in names] == [0, 0, 1, 0, LAST, LAST]
    assert layer("tokens") == layer("schedule") == NO_LAYER


def test_the_table_covers_every_op_once_and_in_order(step: Program, table: LayerTable) -> None:
    assert table.segments[0].first == 0
    assert table.segments[-1].last == len(step.ops) + len(update_program(THREE).ops) - 1
    for before, after in zip(table.segments, table.segments[1:], strict=False):
        assert after.first == before.last + 1 > before.first
        assert after.layer != before.layer
    layers = [LAST + 1 if layer == NO_LAYER else layer for layer in step.layers]
    assert [table.segments[table.row_of(op)].layer for op in range(len(step.ops))] == layers


def test_ops_that_touch_a_weight_belong_to_its_layer(step: Program) -> None:
    """A matrix is read, and written, by its own layer alone."""
    layer = layer_of(THREE)
    for name in THREE.shapes():
        given = step.inputs[f"weights/{name}"]
        readers = [at for at, op in enumerate(step.ops) if given in op.sources]
        assert readers
        assert {step.layers[at] for at in readers} == {layer(name)}
        for part in ("weights", "m", "v"):
            assert step.layers[step.outputs[f"{part}/{name}"]] == layer(name)


def test_only_inputs_belong_to_no_layer(step: Program) -> None:
    nobodys = [at for at, owner in enumerate(step.layers) if owner == NO_LAYER]
    assert [step.ops[at].kind for at in nobodys] == [Kind.INPUT, Kind.INPUT]
    assert set(nobodys) == {step.inputs["tokens"], step.inputs["schedule"]}


def test_layers_exchange_what_a_pipeline_sends(step: Program) -> None:
    """Large tensors cross from a layer to its neighbour only: activations forward, gradients backward. What else is
    read from afar is small or made of no weight: masks, places, tokens."""
    made_of_weights: set[int] = set()
    for at, op in enumerate(step.ops):
        weight = op.kind is Kind.INPUT and op.name.partition("/")[0] in ("weights", "m", "v")
        if weight or any(source in made_of_weights for source in op.sources):
            made_of_weights.add(at)
    for at, op in enumerate(step.ops):
        for source in made_of_weights.intersection(op.sources):
            assert abs(step.layers[at] - step.layers[source]) <= 1


def test_every_segment_is_proved_in_the_table(table: LayerTable) -> None:
    size, root = len(table.segments), table.root()
    for row, segment in enumerate(table.segments):
        leaf = tree.leaf_hash(segment.encode())
        assert tree.verify_inclusion(leaf, row, size, table.proof(row), root)
        assert not tree.verify_inclusion(leaf, (row + 1) % size, size, table.proof(row), root)


def test_there_is_no_owner_beyond_the_last_op(table: LayerTable) -> None:
    for op in (-1, table.segments[-1].last + 1):
        with pytest.raises(ProgramError):
            table.row_of(op)


def test_a_program_without_layers_has_no_table(step: Program) -> None:
    bare = Program(step.ops, step.inputs, step.outputs)
    assert bare.root() == step.root()
    with pytest.raises(ProgramError):
        LayerTable.of(THREE, bare, update_program(THREE))


def test_a_segments_encoding() -> None:
    assert Segment(1, 258, 3).encode() == bytes.fromhex("00000001000001020003")


def test_rounding_an_update_belongs_to_the_layer_of_its_tensor() -> None:
    layer, update = layer_of(THREE), update_program(THREE)
    given = {at: layer(name) for name, at in update.inputs.items()}
    for at, op in enumerate(update.ops):
        tensors = {given[source] for source in op.sources if source in given}
        if tensors:  # all that follows from a tensor is of its layer; what follows from none is a place in a list
            given[at] = tensors.pop()
            assert not tensors
            assert update.layers[at] == given[at]
    assert all(given[at] == layer(name) for name, at in update.outputs.items())
