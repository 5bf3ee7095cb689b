"""The automatic checks of a proposal. Every refusal names the rule that was broken and the merge that broke it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from consensus.errors import VocabularyError
from consensus.model.tokens import BYTE_VOCAB, VOCAB_SIZE
from economics.constants import PROPOSAL_FREQUENCY, PROPOSAL_TOKENS_MAX
from governance.proposals.recount import recount
from governance.proposals.sensitive import sensitive
from governance.tokenizer.vocabulary import MAX_ROWS, TOKEN_BYTES_MAX, Pair, Vocabulary
from governance.versions import Merge, Terms


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a proposal is refused. ``index`` and ``token``: the merge in question, where it is about one."""

    reason: str
    index: int | None = None
    token: str = ""

    def __str__(self) -> str:
        return self.reason if self.index is None else f'merge {self.index} "{self.token}": {self.reason}'


def check(base: Vocabulary, merges: Sequence[Merge], words: Mapping[bytes, int]) -> list[Refusal]:
    """Every rule that merges after ``base`` break, given the words of the network's training text."""
    found = check_form(base, [merge.pair for merge in merges])
    return found or check_counts(base, merges, words)


def check_form(base: Vocabulary, pairs: Sequence[Pair]) -> list[Refusal]:
    """What can be seen without the text: how many, of what, never twice, nothing sensitive."""
    if not pairs:
        return [Refusal("there is no merge in it")]
    if len(pairs) > PROPOSAL_TOKENS_MAX:
        return [Refusal(f"{len(pairs)} merges are more than the {PROPOSAL_TOKENS_MAX} of one proposal")]
    if base.rows + len(pairs) > MAX_ROWS:
        return [Refusal(f"{base.rows + len(pairs)} rows are more than {MAX_ROWS}")]
    try:
        grown = base.extended(pairs)
    except VocabularyError as error:
        return [Refusal(error.message)]
    known = {data for data in base.tokens if data is not None}
    found: list[Refusal] = []
    for index, pair in enumerate(pairs):
        reason = _reason(grown, base.rows + index, pair, known)
        if reason is not None:
            found.append(Refusal(reason, index, grown.text(base.rows + index)))
    return found


def check_counts(base: Vocabulary, merges: Sequence[Merge], words: Mapping[bytes, int]) -> list[Refusal]:
    """Whether each occurs as often as claimed, and often enough."""
    pairs = [merge.pair for merge in merges]
    grown, found = base.extended(pairs), []
    for index, (merge, seen) in enumerate(zip(merges, recount(base, words, pairs), strict=True)):
        text = grown.text(base.rows + index)
        if merge.occurrences != seen:
            claimed = f"{merge.occurrences:,} occurrences are claimed, the training text has {seen:,}"
            found.append(Refusal(claimed, index, text))
        elif seen <= PROPOSAL_FREQUENCY:
            rare = f"it occurs {seen:,} times, and more than {PROPOSAL_FREQUENCY:,} are needed"
            found.append(Refusal(rare, index, text))
    return found


def check_terms(claimed: Terms, computed: Terms) -> list[Refusal]:
    """Whether the hashes are those of the programs and of the dataset that the merges lead to."""
    named = (
        ("program hash of the new version", claimed.program_hash, computed.program_hash),
        ("program hash of the round that grows", claimed.grow_hash, computed.grow_hash),
        ("program hash of the round that shrinks", claimed.shrink_hash, computed.shrink_hash),
        ("root of the dataset", claimed.data_root, computed.data_root),
    )
    return [
        Refusal(f"the {what} is 0x{there.hex()}, recomputed it is 0x{here.hex()}")
        for what, there, here in named
        if there != here
    ]


def _reason(grown: Vocabulary, token: int, pair: Pair, known: set[bytes]) -> str | None:
    special = next((part for part in pair if BYTE_VOCAB <= part < VOCAB_SIZE), None)
    if special is not None:
        return f"id {special} is a special: it never merges"
    data = grown.tokens[token]
    if data is None:
        return f"it is longer than {TOKEN_BYTES_MAX} bytes, so than any word"
    if data in known:
        return "there is a token of these bytes already"
    known.add(data)
    what = sensitive(data)
    return None if what is None else f"it is sensitive: it has {what}"
