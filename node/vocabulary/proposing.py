"""What a proposal must carry, computed from this node's own text and programs, and the checks of what one carries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from consensus.errors import VocabularyError
from consensus.program.known import suite_of
from consensus.training.resize import Change
from governance.activation import History, Version
from governance.proposals import Refusal, recount, suggest
from governance.proposals.rules import check_counts, check_form, check_terms
from governance.tokenizer import Encoder, Pair, count_words
from governance.versions import Merge, Terms, next_root
from node.data.versioned import training_documents, versioned
from node.training.work import Workshop

Tell = Callable[[str], None]
"""Called with what is being done, before it is."""
FORM = "the merges join tokens that exist"


@dataclass(frozen=True)
class Draft:
    """A change as the chain takes it: what makes version `parent` the next one."""

    parent: int
    merges: tuple[Merge, ...]
    terms: Terms

    @property
    def pairs(self) -> tuple[Pair, ...]:
        return tuple(merge.pair for merge in self.merges)


@dataclass(frozen=True)
class Check:
    """One rule and what breaks it."""

    rule: str
    refusals: tuple[Refusal, ...]

    @property
    def passed(self) -> bool:
        return not self.refusals


class Desk:
    """Counts and hashes over one workshop: version 0's, with the network's byte dataset."""

    def __init__(self, base: Workshop, history: History, tell: Tell = lambda _: None) -> None:
        self._base, self._history, self._tell = base, history, tell

    @cached_property
    def words(self) -> Counter[bytes]:
        """The words of the network's training text; its held-out part counts for nothing."""
        self._tell("counting the words of the training text")
        return count_words(training_documents(self._base.dataset))

    def suggest(self, parent: int, count: int) -> list[Merge]:
        """The merges that save most, with their occurrences."""
        words = self.words
        self._tell("looking for the most frequent pairs")
        return suggest(self._history[parent].vocabulary, words, count)

    def counted(self, parent: int, pairs: Sequence[Pair]) -> list[Merge]:
        """Merges with their occurrences; raises VocabularyError for a pair of ids that do not exist."""
        vocabulary = self._history[parent].vocabulary
        vocabulary.extended(pairs)
        self._tell(f"counting {len(pairs)} merges")
        counts = recount(vocabulary, self.words, pairs)
        return [Merge(*pair, seen) for pair, seen in zip(pairs, counts, strict=True)]

    def refusals(self, parent: int, merges: Sequence[Merge]) -> list[Refusal]:
        """What the rules say about merges, hashes apart."""
        return [refusal for check in self._rules(parent, merges) for refusal in check.refusals]

    def draft(self, parent: int, merges: Sequence[Merge]) -> Draft:
        """The whole change. Captures three suites of programs and encodes the text: seconds to minutes.

        Raises:
            ProgramError, OuterStepError (consensus). ManifestError, ShardError, DiskError: the text.
        """
        return Draft(parent, tuple(merges), self._terms(parent, [merge.pair for merge in merges]))

    def checks(self, draft: Draft) -> Iterator[Check]:
        """Every rule in turn, each recomputed; hashes only where the merges make a vocabulary."""
        sound = True
        for check in self._rules(draft.parent, draft.merges):
            sound = sound and (check.passed or not check.rule.startswith(FORM))
            yield check
        if not sound:
            return
        different = check_terms(draft.terms, self._terms(draft.parent, draft.pairs))
        yield Check("program hashes and the root of the dataset are recomputed alike", tuple(different))

    def _rules(self, parent: int, merges: Sequence[Merge]) -> Iterator[Check]:
        vocabulary = self._history[parent].vocabulary
        form = check_form(vocabulary, [merge.pair for merge in merges])
        yield Check(f"{FORM}, none twice, none sensitive", tuple(form))
        try:
            vocabulary.extended(merge.pair for merge in merges)
        except VocabularyError:
            return
        self._tell(f"recounting {len(merges)} merges")
        counts = check_counts(vocabulary, merges, self.words)
        yield Check("each occurs in the training text as often as claimed, and often enough", tuple(counts))

    def _terms(self, parent: int, pairs: Sequence[Pair]) -> Terms:
        before = self._history[parent]
        grown = before.vocabulary.extended(pairs)
        config = before.config(self._base.config)
        grows = Change(grown.rows, tuple(pairs))
        self._tell("capturing the programs of the new version")
        program = suite_of(grows.after(config)).hash()
        self._tell("capturing the round that grows")
        grow = suite_of(config, grows).hash()
        self._tell("capturing the round that shrinks back")
        shrink = suite_of(grows.after(config), Change(before.vocabulary.rows)).hash()
        self._tell("encoding the training text")
        return Terms(program, grow, shrink, self._data_root(before, pairs))

    def _data_root(self, before: Version, pairs: Sequence[Pair]) -> bytes:
        encoder = Encoder(before.vocabulary.extended(pairs))
        return versioned(self._base.dataset, encoder, next_root(before.root, pairs)).root
