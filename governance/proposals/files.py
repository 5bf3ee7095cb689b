"""The file that a proposal is written in: a JSON list of merges, by ids or by text.

``[{"left": 116, "right": 104}, {"left": "th", "right": "e"}, [" ", "th"]]``. A number is an id, a text the token with
exactly these bytes (UTF-8; ``\\xNN`` in it is the byte NN), which may be one that an earlier merge of the file makes.
"""

import re
from typing import Final

from consensus.errors import VocabularyError
from economics.constants import PROPOSAL_TOKENS_MAX
from governance.tokenizer.vocabulary import Pair, Vocabulary, join, printable

_ESCAPED: Final = re.compile(rb"\\x([0-9A-Fa-f]{2})")


def parse_pairs(content: object, base: Vocabulary) -> list[Pair]:
    """The merges in a parsed file, in order.

    Raises VocabularyError, with the number of the merge, for another form or for text that is no token.
    """
    if not isinstance(content, list) or len(content) > PROPOSAL_TOKENS_MAX:
        raise VocabularyError(f"a proposal is a JSON list of at most {PROPOSAL_TOKENS_MAX} merges")
    ids = {data: token for token, data in reversed(list(enumerate(base.tokens))) if data is not None}
    tokens = list(base.tokens)
    pairs: list[Pair] = []
    for number, entry in enumerate(content):
        left, right = (_id(side, ids, number) for side in _sides(entry, number))
        pairs.append((left, right))
        known = max(left, right) < len(tokens) and min(left, right) >= 0
        data = join(tokens[left], tokens[right]) if known else None
        tokens.append(data)
        if data is not None:
            ids.setdefault(data, len(tokens) - 1)
    return pairs


def _sides(entry: object, number: int) -> tuple[object, object]:
    if isinstance(entry, dict) and {"left", "right"} <= entry.keys():
        return entry["left"], entry["right"]
    if isinstance(entry, list) and len(entry) == 2:
        return entry[0], entry[1]
    raise VocabularyError(f'merge {number} is neither {{"left": …, "right": …}} nor [left, right]')


def _id(side: object, ids: dict[bytes, int], number: int) -> int:
    if isinstance(side, int) and not isinstance(side, bool):
        return side
    if not isinstance(side, str):
        raise VocabularyError(f"merge {number} joins something that is neither an id nor text")
    data = _ESCAPED.sub(lambda found: bytes([int(found[1], 16)]), side.encode("utf-8", "surrogatepass"))
    if data not in ids:
        raise VocabularyError(f'merge {number}: no token before it is "{printable(data)}"')
    return ids[data]
