"""The state's root from what each member knows of its own tensors, and whether all have computed the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from consensus.commitments import tree
from consensus.commitments.tensors import sets_leaves
from consensus.training.outer import GlobalState
from node.cohort.errors import RootMismatchError
from node.cohort.sealing import Sealed
from node.net.wire.cohort_pb2 import Body, Leaves

PAIR_BYTES: Final = 2 * tree.HASH_BYTES
RUN_MAX: Final = 100
"""Tensors in one message."""
Pairs = Mapping[str, bytes]
"""By tensor: leaf hashes in the sets of weights and of velocity, 64 bytes."""


def leaves_of(state: GlobalState) -> dict[str, bytes]:
    """Of every tensor that is held."""
    weights, velocity = sets_leaves((state.weights, state.velocity))
    return {name: weights[at] + velocity[at] for at, name in enumerate(sorted(state.weights))}


def root_of(pairs: Pairs) -> bytes:
    """The global root, 32 bytes, from the leaves of every tensor of the model."""
    names = sorted(pairs)
    sides = (slice(0, tree.HASH_BYTES), slice(tree.HASH_BYTES, PAIR_BYTES))
    return tree.root([tree.leaf_hash(tree.root([pairs[name][side] for name in names])) for side in sides])


def bodies(number: int, outcome: bytes, names: Sequence[str], pairs: Pairs) -> list[Body]:
    """Messages that say these leaves; `names` of all tensors of the model, sorted."""
    made: list[Body] = []
    run: Leaves | None = None
    for at, name in enumerate(names):
        if name not in pairs:
            run = None
            continue
        if run is None or len(run.leaves) == RUN_MAX:
            made.append(Body(round=number, leaves=Leaves(outcome=outcome, first=at)))
            run = made[-1].leaves
        run.leaves.append(pairs[name])
    return made


def reported(messages: Iterable[Sealed], outcome: bytes, names: Sequence[str]) -> dict[str, dict[bytes, bytes]]:
    """By tensor: what each account says that follows from this outcome. The first word of an account stands."""
    found: dict[str, dict[bytes, bytes]] = {name: {} for name in names}
    for message in messages:
        leaves = message.body.leaves
        if leaves.outcome != outcome or leaves.first + len(leaves.leaves) > len(names):
            continue
        for at, pair in enumerate(leaves.leaves, leaves.first):
            if len(pair) == PAIR_BYTES:
                found[names[at]].setdefault(bytes(message.body.account), pair)
    return found


def agreed(found: Mapping[str, Mapping[bytes, bytes]], holders: Mapping[str, frozenset[bytes]]) -> Pairs | None:
    """What more than half of the holders of each tensor say of it; None while that is missing for one of them."""
    pairs = {}
    for name, accounts in holders.items():
        words = Counter(word for account, word in found[name].items() if account in accounts)
        (word, count), *_ = words.most_common(1) or [(b"", 0)]
        if 2 * count <= len(accounts):
            return None
        pairs[name] = word
    return pairs


def require_own(pairs: Pairs, own: Pairs, number: int) -> None:
    """Raises RootMismatchError where the others' tensors are not this node's."""
    wrong = sorted(name for name, pair in own.items() if pairs[name] != pair)
    if wrong:
        raise RootMismatchError(
            f"After round {number} most holders have another {wrong[0]} than this node ({len(wrong)} tensors differ).",
            "Do not train on: run `ponw doctor`, then fetch the state from peers.",
        )
