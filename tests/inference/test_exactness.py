"""A row's bits depend on its own sequence alone: not on chunks, neighbours, threads or the kernel."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from consensus.arithmetic import library
from consensus.arithmetic.reference import Reference
from consensus.errors import InferenceError
from consensus.inference.choice import choose_decoder, proof_failure
from consensus.inference.compiled import CompiledDecoder
from consensus.inference.decoding import MAX_ROWS, Decoder, Definition, Row
from consensus.model.config import ModelConfig
from consensus.model.gpt import forward, pack
from tests.inference.conftest import CONFIGS, make, weights_of

EXAMPLES = settings(max_examples=8)


def tokens_of(seed: int, config: ModelConfig, count: int) -> list[int]:
    return [(seed * 7919 + i * i * 31 + i) % config.vocab for i in range(count)]


def bits(logits: Tensor) -> Tensor:
    return logits.view(torch.int32)


def one_by_one(decoder: Decoder, tokens: list[int], slot: int = 0) -> Tensor:
    return torch.cat([decoder.logits([Row(slot, place, token)]) for place, token in enumerate(tokens)])


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
@given(seed=st.integers(0, 1000), cuts=st.lists(st.integers(1, 20), min_size=1, max_size=8), threads=st.integers(1, 2))
@EXAMPLES
def test_any_chunks_give_the_bits_of_single_tokens(
    kind: str, config: ModelConfig, seed: int, cuts: list[int], threads: int
) -> None:
    tokens = tokens_of(seed, config, min(sum(cuts), config.seq_len))
    expected = one_by_one(make("definition", config, 1), tokens)
    decoder, parts, at = make(kind, config, 2, threads), [], 0
    for cut in cuts:
        rows = [Row(1, place, tokens[place]) for place in range(at, min(at + cut, len(tokens)))]
        parts += [decoder.logits(rows)] if rows else []
        at += cut
    assert torch.equal(bits(torch.cat(parts)), bits(expected))


@given(
    seed=st.integers(0, 1000),
    steps=st.lists(st.tuples(*[st.integers(0, 6)] * 4), max_size=6),
    first=st.integers(0, 3),
)
@EXAMPLES
def test_any_mix_of_sequences_gives_the_bits_of_each_alone(
    kind: str, seed: int, steps: list[tuple[int, ...]], first: int
) -> None:
    config, slots = CONFIGS[0], 4
    sequences = [tokens_of(seed + slot, config, 12 + slot) for slot in range(slots)]
    alone = [one_by_one(make("definition", config, 1), tokens) for tokens in sequences]
    decoder, fed = make(kind, config, slots), [0] * slots
    for number, takes in enumerate([*steps, (16,) * slots]):
        rows = []
        for turn in range(slots):
            slot = (first + number + turn) % slots
            upto = min(fed[slot] + takes[slot], len(sequences[slot]))
            rows += [Row(slot, at, sequences[slot][at]) for at in range(fed[slot], upto)]
            fed[slot] = upto
        for row, one in zip(rows, decoder.logits(rows) if rows else (), strict=True):
            assert torch.equal(bits(one), bits(alone[row.slot][row.place]))
    assert fed == [len(tokens) for tokens in sequences]


def test_a_used_slot_is_as_good_as_a_new_one(kind: str) -> None:
    config = CONFIGS[1]
    decoder = make(kind, config, 1)
    one_by_one(decoder, tokens_of(1, config, config.seq_len))
    tokens = tokens_of(2, config, 9)
    assert torch.equal(bits(one_by_one(decoder, tokens)), bits(one_by_one(make("definition", config, 1), tokens)))


def test_all_rows_at_once_and_the_whole_context(kind: str) -> None:
    config = CONFIGS[2]
    tokens = tokens_of(3, config, config.seq_len)
    decoder, definition = make(kind, config, 1, 2), make("definition", config, 1)
    for at in range(0, config.seq_len, MAX_ROWS):
        rows = [Row(0, place, tokens[place]) for place in range(at, at + MAX_ROWS)]
        assert torch.equal(bits(decoder.logits(rows)), bits(definition.logits(rows)))


def test_decoding_stays_close_to_training_over_the_context() -> None:
    config = CONFIGS[0]
    tokens = tokens_of(4, config, config.seq_len)
    engine, weights = Reference(), weights_of(config)
    trained, *_ = forward(engine, config, weights, pack(engine, weights), torch.tensor([tokens], dtype=torch.int32))
    decoded = one_by_one(make("definition", config, 1), tokens)
    assert float((decoded - trained).abs().max()) < 0.05 * float(trained.abs().max())


def test_every_kernel_here_proves_itself() -> None:
    for variant in library.VARIANTS:
        loaded = library.load(variant)
        assert loaded is None or proof_failure(loaded) is None


def test_a_kernel_that_errs_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = CompiledDecoder.logits

    def lying(self: CompiledDecoder, rows: list[Row]) -> Tensor:
        logits = honest(self, rows)
        logits[-1, 5] = -logits[-1, 5]
        return logits

    monkeypatch.setattr(CompiledDecoder, "logits", lying)
    monkeypatch.setattr("consensus.inference.choice._proven", lambda loaded: proof_failure(loaded) is None)
    chosen = choose_decoder(CONFIGS[0], weights_of(CONFIGS[0]), 1)
    assert isinstance(chosen, Definition)


@pytest.mark.parametrize(
    "row", [Row(2, 0, 0), Row(-1, 0, 0), Row(0, 32, 0), Row(0, -1, 0), Row(0, 0, 264), Row(0, 0, -1)], ids=str
)
def test_a_row_outside_the_model_is_refused(kind: str, row: Row) -> None:
    with pytest.raises(InferenceError):
        make(kind, CONFIGS[0], 2).step([row])


def test_too_many_rows_and_none_are_refused(kind: str) -> None:
    decoder = make(kind, CONFIGS[0], 1)
    for rows in ([], [Row(0, 0, 0)] * (MAX_ROWS + 1)):
        with pytest.raises(InferenceError):
            decoder.step(rows)


def test_other_weights_are_refused() -> None:
    with pytest.raises(InferenceError, match="not the weights"):
        Definition(CONFIGS[0], weights_of(CONFIGS[1]), 1)
