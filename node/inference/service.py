"""The one interface to the served model, for free and for paid answers."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence

from consensus.errors import InferenceError
from consensus.inference.answer import check_request
from consensus.inference.decoding import PROGRAM, Decoder, Row
from consensus.inference.sampling import Settings
from economics.constants import TIER_LIMITS
from node.inference.batcher import Batcher
from node.inference.errors import ContextLengthError, PromptError
from node.inference.generation import Generation
from node.inference.model import Model
from node.inference.paid.seam import Draw, ServedModel
from node.inference.text import TextStream

QUEUE = 256
"""Requests that may wait for a place in the batch."""


class InferenceService:
    """Answers with one model; meets `node.inference.paid.seam.Answerer`. Methods may be called from any thread.

    `step_ms` is what one step of one sequence takes here, for the speed tier.
    """

    def __init__(self, model: Model, decoder: Decoder, queue: int = QUEUE, step_ms: float = 0.0) -> None:
        self.model, self.decoder = model, decoder
        self._batcher = Batcher(decoder, queue)
        tier = min(bisect_left(TIER_LIMITS, step_ms) + 1, len(TIER_LIMITS))
        self._served = ServedModel(
            model_root=model.root,
            vocabulary=model.tokenizer.version,
            program=PROGRAM,
            stop_at_eos=True,
            context=model.config.seq_len,
            layers=model.config.layers,
            tier=tier,
        )

    @property
    def batcher(self) -> Batcher:
        """What runs the answers; its counters are for reading."""
        return self._batcher

    def served(self) -> ServedModel:
        """The model that a request begun now is answered with."""
        return self._served

    def encode(self, text: str) -> list[int]:
        """Token ids of a prompt; a lone surrogate becomes '?', as it has no UTF-8."""
        return list(self.model.tokenizer.encode(text.encode("utf-8", "replace")))

    def load(self) -> tuple[int, int]:
        """(busy, all) places of the batch."""
        return self._batcher.load

    def submit(
        self, prompt: Sequence[int], settings: Settings, max_tokens: int, allowed: int | None = None
    ) -> Generation:
        """Begin an answer; `allowed` tokens of it (all, if None) may be made before more are allowed.

        Raises:
            ContextLengthError: prompt and answer do not fit the model. PromptError: no token, or an unknown one.
            BusyError: the queue is full. ClosedError: the service is going down.
        """
        context = self.model.config.seq_len
        if len(prompt) + max_tokens > context:
            raise ContextLengthError(
                f"This model's maximum context length is {context} tokens. However, you requested "
                f"{len(prompt) + max_tokens} tokens ({len(prompt)} in the prompt, {max_tokens} in the completion).",
                "Reduce the length of the prompt or of the completion.",
            )
        try:
            check_request(context, self.model.config.vocab, prompt, max_tokens)
        except InferenceError as error:
            raise PromptError(f"The request cannot be answered: {error.message}.") from error
        text = TextStream(self.model.tokenizer)
        permitted = max_tokens if allowed is None else allowed
        generation = Generation(prompt, settings, max_tokens, permitted, text, self._batcher.changed)
        self._batcher.add(generation)
        return generation

    def answer(self, prompt: Sequence[int], draw: Draw, max_tokens: int) -> Generation:
        """Begin an answer that is paid for: no token is made until it is allowed. Errors as for `submit`.

        Raises:
            InferenceError: settings out of their range.
        """
        return self.submit(prompt, Settings(draw.temperature_milli, draw.top_p_bps, draw.seed), max_tokens, 0)

    def close(self, drain: bool = True) -> None:
        """Take no more requests; end those under way (`drain`) or stop them."""
        self._batcher.close(drain)


def step_ms(decoder: Decoder, clock: Callable[[], float], steps: int = 8) -> float:
    """Milliseconds of one step of one sequence, the best of `steps`; before the decoder serves."""
    best = float("inf")
    for place in range(min(steps, decoder.config.seq_len)):
        began = clock()
        decoder.step([Row(0, place, 0, Settings(0, 10_000, bytes(32)).choice(0))])
        best = min(best, clock() - began)
    return best * 1000
