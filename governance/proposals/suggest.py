"""What is worth proposing: the pairs that stand side by side most often."""

import heapq
from collections.abc import Mapping

from economics.constants import PROPOSAL_FREQUENCY
from governance.proposals.recount import PairCounts
from governance.proposals.sensitive import sensitive
from governance.tokenizer.vocabulary import Vocabulary, join
from governance.versions import Merge


def suggest(
    base: Vocabulary, words: Mapping[bytes, int], count: int, least: int = PROPOSAL_FREQUENCY + 1
) -> list[Merge]:
    """Up to ``count`` merges after ``base``, each the most frequent of its moment (of equals the one with the lowest
    ids) that occurs ``least`` times and that no rule refuses, with its occurrences in the text of ``words``."""
    counts = PairCounts(base, words)
    tokens, known = list(base.tokens), {data for data in base.tokens if data is not None}
    heap = [(-times, pair) for pair, times in counts.counts.items()]
    heapq.heapify(heap)
    found: list[Merge] = []
    while heap and len(found) < count:
        negative, pair = heapq.heappop(heap)
        if counts.counts[pair] != -negative:
            continue  # counted anew since, and in the heap again
        if -negative < least:
            break
        data = join(tokens[pair[0]], tokens[pair[1]])
        if data is None or data in known or sensitive(data) is not None:
            continue
        occurrences, touched = counts.apply(pair)
        found.append(Merge(*pair, occurrences))
        tokens.append(data)
        known.add(data)
        for changed in touched:
            heapq.heappush(heap, (-counts.counts[changed], changed))
    return found
