"""The checks before a vote: every rule refuses with its reason, and counts are those of the tokenizer."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus.commitments import tree
from consensus.errors import VocabularyError
from consensus.model.tokens import BOS, VOCAB_SIZE
from economics.constants import PROPOSAL_FREQUENCY, PROPOSAL_TOKENS_MAX
from governance.proposals import check, check_terms, recount, suggest
from governance.proposals.files import parse_pairs
from governance.proposals.rules import check_form
from governance.proposals.sensitive import sensitive
from governance.tokenizer import Encoder, Vocabulary, count_words
from governance.versions import ROOT_0, Merge, Terms, decode_merges, encode_merges, next_root, root_of

BASE = Vocabulary()
WORDS = Counter({b"the": 3000, b" then": 2000, b"aaaa": 1500, b" hidden": 900})


def honest(*texts: str) -> list[Merge]:
    """Merges of these two-letter texts with the counts that the text has."""
    pairs = [tuple(text.encode()) for text in texts]
    return [Merge(*pair, seen) for pair, seen in zip(pairs, recount(BASE, WORDS, pairs), strict=True)]


def reasons(merges: list[Merge], base: Vocabulary = BASE) -> list[str]:
    return [str(refusal) for refusal in check(base, merges, WORDS)]


def test_an_honest_proposal_passes() -> None:
    assert reasons(honest("th", "aa", "en")) == []
    assert [merge.occurrences for merge in honest("th", "aa")] == [5000, 3000]


def test_a_false_frequency_is_refused_with_both_figures() -> None:
    merges = honest("th", "aa")
    merges[1] = replace(merges[1], occurrences=3001)
    assert reasons(merges) == ['merge 1 "aa": 3,001 occurrences are claimed, the training text has 3,000']


def test_a_rare_token_is_refused() -> None:
    needed = f"more than {PROPOSAL_FREQUENCY:,} are needed"
    assert reasons(honest("id")) == [f'merge 0 "id": it occurs 900 times, and {needed}']


def test_merges_never_cross_a_word_so_such_a_token_is_rare() -> None:
    words = count_words([[b"to be " * 2000]])
    assert recount(BASE, words, [(ord("o"), ord(" "))]) == [0]


def test_duplicates_specials_and_unknown_tokens_are_refused() -> None:
    assert "there is a token of these bytes already" in reasons(honest("th", "th"))[0]
    same_bytes = [(116, 104), (264, 101), (104, 101), (116, 266)]
    assert [refusal.index for refusal in check_form(BASE, same_bytes)] == [3]
    assert "never merges" in str(check_form(BASE, [(BOS, 97)])[0])
    assert "merge 0 joins 264 and 97" in str(check_form(BASE, [(264, 97)])[0])


def test_too_many_or_no_merges_are_refused() -> None:
    assert "no merge" in str(check_form(BASE, [])[0])
    pairs = [(a, b) for a in range(128, 168) for b in range(128, 168)][: PROPOSAL_TOKENS_MAX + 1]
    assert "1001 merges are more than the 1000" in str(check_form(BASE, pairs)[0])
    assert check_form(BASE, pairs[:-1]) == []


def test_a_token_longer_than_any_word_is_refused() -> None:
    doubling = [(97, 97), *((VOCAB_SIZE + n, VOCAB_SIZE + n) for n in range(6))]
    assert [refusal.index for refusal in check_form(BASE, doubling)] == [6]


@pytest.mark.parametrize(
    "token",
    ["password", " Secret", "KEY", "keys", " token", "api", "apikey", "secretkey", "accesstokens", "my password",
     "anna@example", "4111 1111 1111 1111", "4111-1111-1111-1111", "4111111111111", "123-45-6789",
     "DE89 3704 0044 0532", "12345678", "0xdeadbeef", "d41d8cd98f00b204", "seedphrase", "privatekey", "MNEMONIC"],
)  # fmt: skip
def test_sensitive_tokens(token: str) -> None:
    assert sensitive(token.encode()) is not None


@pytest.mark.parametrize(
    "token",
    ["monkey", " keyboard", "turkey", "secretary", "tokenise", "capital", "private", " seed", "1984", "1,000", "the",
     "facade", "deadbeefdeadbeef", " @", "rapid", "passage", "é", "\n\n"],
)  # fmt: skip
def test_harmless_tokens(token: str) -> None:
    assert sensitive(token.encode()) is None


def test_a_sensitive_merge_is_refused_with_its_text() -> None:
    pairs = [(107, 101), (264, 121)]
    words = {b"key": 5000}
    merges = [Merge(*pair, seen) for pair, seen in zip(pairs, recount(BASE, words, pairs), strict=True)]
    assert [str(found) for found in check(BASE, merges, words)] == [
        'merge 1 "key": it is sensitive: it has the word "key"'
    ]


TEXTS = st.lists(st.text("ab c\n", min_size=1, max_size=60).map(str.encode), min_size=1, max_size=5)


@given(TEXTS, st.integers(1, 12))
def test_counts_are_the_tokens_that_the_tokenizer_makes(texts: list[bytes], count: int) -> None:
    words = count_words([text] for text in texts)
    merges = suggest(BASE, words, count, least=1)
    assert recount(BASE, words, [merge.pair for merge in merges]) == [merge.occurrences for merge in merges]
    for number, merge in enumerate(merges):
        upto = Encoder(BASE.extended(m.pair for m in merges[: number + 1]))
        made = sum(int((upto.encode(text) == VOCAB_SIZE + number).sum()) for text in texts)
        assert made == merge.occurrences


@given(TEXTS)
def test_the_suggestion_is_the_most_frequent_pair_that_is_left(texts: list[bytes]) -> None:
    words = count_words([text] for text in texts)
    found = suggest(BASE, words, 1, least=1)
    pairs = {(left, right) for word in words for left, right in pairwise(word)}
    seen = {pair: recount(BASE, words, [pair])[0] for pair in pairs}
    assert [merge.occurrences for merge in found] == ([max(seen.values())] if seen else [])


def test_a_suggestion_passes_the_checks_on_a_later_version_too() -> None:
    first = suggest(BASE, WORDS, 2)
    base = BASE.extended(merge.pair for merge in first)
    second = suggest(base, WORDS, 3)
    assert second
    assert check(base, second, WORDS) == []


def test_roots_by_their_definition() -> None:
    assert hashlib.sha256(b"").digest() == ROOT_0 == root_of([])
    leaves = [tree.leaf_hash(b"\x00\x74\x00\x68"), tree.leaf_hash(b"\x01\x08\x00\x65")]
    first = next_root(ROOT_0, [(116, 104), (264, 101)])
    assert first == hashlib.sha256(b"\x01" + ROOT_0 + tree.root(leaves)).digest()
    assert root_of([[(116, 104), (264, 101)], [(1, 2)]]) == next_root(first, [(1, 2)])


def test_merges_on_the_wire() -> None:
    merges = (Merge(116, 104, 5000), Merge(264, 101, 2**32 - 1))
    assert encode_merges(merges) == bytes.fromhex("0074006800001388" + "01080065ffffffff")
    assert decode_merges(encode_merges(merges)) == merges
    with pytest.raises(VocabularyError):
        decode_merges(b"\x00" * 9)
    with pytest.raises(VocabularyError):
        encode_merges([Merge(1, 2, 2**32)])


def test_every_wrong_hash_is_named() -> None:
    right = Terms(b"\x01" * 32, b"\x02" * 32, b"\x03" * 32, b"\x04" * 32)
    assert check_terms(right, right) == []
    wrong = Terms(*[bytes(32)] * 4)
    assert [str(found).split(" is 0x")[0] for found in check_terms(wrong, right)] == [
        "the program hash of the new version",
        "the program hash of the round that grows",
        "the program hash of the round that shrinks",
        "the root of the dataset",
    ]


def test_a_file_names_tokens_by_id_or_by_text() -> None:
    content = [{"left": 116, "right": "h"}, {"left": "th", "right": "e"}, [" ", "the"], ["\\xc3", "\\xa9"]]
    assert parse_pairs(content, BASE) == [(116, 104), (264, 101), (32, 265), (0xC3, 0xA9)]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({}, "a JSON list"),
        ([["a", "zz"]], 'merge 0: no token before it is "zz"'),
        ([["a"]], "merge 0 is neither"),
        ([["a", 1.5]], "neither an id nor text"),
        ([["a", True]], "neither an id nor text"),
    ],
)
def test_a_file_of_another_form_is_refused(content: object, reason: str) -> None:
    with pytest.raises(VocabularyError, match=reason):
        parse_pairs(content, BASE)
