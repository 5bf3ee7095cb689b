"""How often merges occur in a text, exactly: the figure that a proposal claims and anyone can recount.

The occurrences of a merge are the replacements it makes in the words of the text, from left to right, after all merges
before it were applied.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from governance.tokenizer.encoder import Encoder, merge
from governance.tokenizer.vocabulary import Pair, Vocabulary


def pairs_of(ids: Sequence[int]) -> Counter[Pair]:
    """Pairs side by side in a word; of overlapping ones every second, as replacing from the left finds them."""
    found: Counter[Pair] = Counter()
    last, last_at = None, -1
    for at in range(len(ids) - 1):
        pair = (ids[at], ids[at + 1])
        if pair == last and last_at == at - 1 and pair[0] == pair[1]:
            continue
        found[pair] += 1
        last, last_at = pair, at
    return found


class PairCounts:
    """Pairs in the distinct words of a text, kept up to date while merges are applied."""

    def __init__(self, base: Vocabulary, words: Mapping[bytes, int]) -> None:
        """``words``: how often each word stands in the text."""
        encoder = Encoder(base)
        self.rows = base.rows
        self._words = [encoder.word(word) for word in words]
        self._times = list(words.values())
        self.counts: Counter[Pair] = Counter()
        self._where: defaultdict[Pair, set[int]] = defaultdict(set)
        for number in range(len(self._words)):
            self._add(number, 1)

    def apply(self, pair: Pair) -> tuple[int, set[Pair]]:
        """Make the next token out of a pair: (its occurrences, pairs whose count changed)."""
        occurrences, touched = self.counts[pair], set[Pair]()
        for number in sorted(self._where.pop(pair, ())):
            touched |= self._add(number, -1)
            self._words[number] = merge(self._words[number], *pair, self.rows)
            touched |= self._add(number, 1)
        self.rows += 1
        return occurrences, touched

    def _add(self, number: int, sign: int) -> set[Pair]:
        found = pairs_of(self._words[number])
        for pair, times in found.items():
            self.counts[pair] += sign * times * self._times[number]
            if sign > 0:
                self._where[pair].add(number)
            else:
                self._where[pair].discard(number)
        return set(found)


def recount(base: Vocabulary, words: Mapping[bytes, int], pairs: Sequence[Pair]) -> list[int]:
    """The occurrences of each of these merges after ``base``, in order."""
    counts = PairCounts(base, words)
    return [counts.apply(pair)[0] for pair in pairs]
