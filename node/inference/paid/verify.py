"""Recomputing an answer: a server that streamed other tokens than the model draws is found out."""

from __future__ import annotations

from dataclasses import dataclass

from node.config import Settings
from node.inference.paid.errors import AnswerError
from node.inference.paid.journal import Record


@dataclass(frozen=True, slots=True)
class Verdict:
    """What recomputing showed; `first` is the first token that differs, `matches` None where it was not possible."""

    matches: bool | None
    words: str

    def require(self) -> None:
        """Raises AnswerError if the answer is not the model's."""
        if self.matches is False:
            raise AnswerError(self.words, "Keep the record of the request: it shows what was asked, drawn and signed.")


def compare(served: list[int], computed: list[int]) -> Verdict:
    """A verdict on the tokens that were served against those computed here."""
    for index, token in enumerate(served):
        if index >= len(computed) or computed[index] != token:
            mine = computed[index] if index < len(computed) else "the end"
            return Verdict(False, f"The answer is not the model's: token {index} is {token} and should be {mine}.")
    return Verdict(True, f"Recomputed: all {len(served)} tokens are the model's.")


def verify(settings: Settings, record: Record) -> Verdict:
    """Recompute the whole answer with the model in this home."""
    return Verdict(None, f"The model {record.offer.served.model_root[:18]} is not in {settings.home}.")
