"""Recomputing an answer: a server that streamed other tokens than the model draws is found out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from consensus.arithmetic import choose_engine
from consensus.inference.answer import recompute
from consensus.inference.decoding import PROGRAM, Definition
from consensus.inference.sampling import Settings as Drawing
from governance.activation import Version
from node.config import Settings
from node.inference.model import Model, load_model
from node.inference.paid.errors import AnswerError
from node.inference.paid.journal import Record
from node.inference.paid.messages import unhex
from node.inference.paid.weights import KeptWeights


@dataclass(frozen=True, slots=True)
class Verdict:
    """What recomputing showed in words; `matches` is None where it was not possible, `wrong` is the first token that is
    not the model's: the one to accuse."""

    matches: bool | None
    words: str
    wrong: int | None = None

    def require(self) -> None:
        """Raises AnswerError if the answer is not the model's."""
        if self.matches is False:
            raise AnswerError(self.words, "Keep the record of the request: it shows what was asked, drawn and signed.")


def verify(settings: Settings, record: Record, versions: Sequence[Version]) -> Verdict:
    """Recompute the whole answer with the model in this home, if it is the one that was served; `versions` of the
    vocabulary as for `load_model`. Where a token is wrong that the server signed, the weights are kept for the dispute.

    Errors as for `load_model`.
    """
    model = load_model(settings.preset, settings.home, versions=versions)
    verdict = verify_with(model, record, settings.threads or 0)
    if verdict.wrong is not None and record.signed is not None:
        KeptWeights(settings.home).keep(model.root, model.weights)
    return verdict


def verify_with(model: Model, record: Record, threads: int = 0) -> Verdict:
    """The same with a model at hand; `threads` as for `choose_engine`."""
    served, asked = record.offer.served, record.asked
    if record.seed is None:
        return Verdict(None, "Not recomputed: the request was never opened.")
    if (unhex(served.model_root), served.vocabulary) != (model.root, model.tokenizer.version):
        return Verdict(None, f"Not recomputed: model {served.model_root[:18]} is not here, but {model.origin} is.")
    if served.program != PROGRAM:
        return Verdict(None, f"Not recomputed: the server draws by rules {served.program}, not {PROGRAM}.")
    if list(model.tokenizer.encode(asked.prompt.encode())) != record.offer.prompt_ids:
        return Verdict(False, "The server answered another prompt than was asked.")
    drawing = Drawing(asked.temperature_milli, asked.top_p_bps, unhex(record.seed))
    decoder = Definition(model.config, model.weights, 1, choose_engine(threads=threads))
    computed = recompute(decoder, record.offer.prompt_ids, drawing, asked.max_tokens, served.stop_at_eos)
    return compare(record.ids, computed, ended=record.reason in ("eos", "length"))


def compare(served: Sequence[int], computed: Sequence[int], *, ended: bool) -> Verdict:
    """Served tokens against those computed here; `ended`: the server says that the model had no more to say."""
    for index, token in enumerate(served):
        if index >= len(computed) or computed[index] != token:
            mine = computed[index] if index < len(computed) else "the end"
            words = f"The answer is not the model's: token {index} is {token} and should be {mine}."
            return Verdict(False, words, index)
    if ended and len(served) < len(computed):
        return Verdict(False, f"The answer is not the model's: it ends after {len(served)} of {len(computed)} tokens.")
    return Verdict(True, f"Recomputed: all {len(served)} tokens are the model's.")
