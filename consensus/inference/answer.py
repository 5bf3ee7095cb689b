"""A whole answer again, from what fixes it: model, prompt, settings and seed."""

from __future__ import annotations

from collections.abc import Sequence

from consensus.errors import InferenceError
from consensus.inference.decoding import MAX_ROWS, Decoder, Row
from consensus.inference.sampling import Settings
from consensus.model.tokens import EOS


def check_request(context: int, vocab: int, prompt: Sequence[int], max_tokens: int) -> None:
    """Raises InferenceError unless prompt and answer fit the context and the prompt has tokens, all of them known."""
    if not prompt or max_tokens < 1:
        raise InferenceError("the prompt or the answer would have no token")
    if len(prompt) + max_tokens > context:
        raise InferenceError(f"a prompt of {len(prompt)} and an answer of {max_tokens} tokens exceed {context}")
    if not all(0 <= token < vocab for token in prompt):
        raise InferenceError(f"a token of the prompt is not from 0 to {vocab - 1}")


def recompute(
    decoder: Decoder, prompt: Sequence[int], settings: Settings, max_tokens: int, stop_at_eos: bool = True
) -> list[int]:
    """The answer's token ids, at most `max_tokens`; it ends before EOS. Uses slot 0 of `decoder`.

    Raises:
        InferenceError: prompt and answer do not fit the model.
    """
    check_request(decoder.config.seq_len, decoder.config.vocab, prompt, max_tokens)
    answer: list[int] = []
    rows = [Row(0, place, token) for place, token in enumerate(prompt)]
    while True:
        rows[-1].choice = settings.choice(len(answer))
        (token,) = feed(decoder, rows)
        if stop_at_eos and token == EOS:
            return answer
        answer.append(token)
        if len(answer) == max_tokens:
            return answer
        rows = [Row(0, len(prompt) + len(answer) - 1, token)]


def feed(decoder: Decoder, rows: list[Row]) -> list[int]:
    chosen: list[int] = []
    for at in range(0, len(rows), MAX_ROWS):
        chosen += decoder.step(rows[at : at + MAX_ROWS])
    return chosen
