"""Every node of an RFC 9162 tree, level by level: what a prover opens, and what a challenger compares with."""

from collections.abc import Sequence

from consensus.commitments import tree

FAN_OUT_LEVELS = 4
"""Levels that one answer reveals: up to 16 nodes."""


class Levels:
    """The tree over these leaf hashes (at least one). Level 0 holds the leaves."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        if not leaves:
            raise IndexError("a tree of no leaves has no levels")
        self._levels = [list(leaves)]
        while len(self._levels[-1]) > 1:
            self._levels.append(tree.level_up(self._levels[-1]))

    @property
    def size(self) -> int:
        """Number of leaves."""
        return len(self._levels[0])

    @property
    def top(self) -> int:
        """The level of the root."""
        return len(self._levels) - 1

    @property
    def root(self) -> bytes:
        """The root, 32 bytes."""
        return self._levels[-1][0]

    def node(self, level: int, index: int) -> bytes:
        """A node; IndexError outside the tree."""
        if level < 0 or index < 0:
            raise IndexError(f"node {index} of level {level}")
        return self._levels[level][index]

    def prove(self, level: int, index: int) -> list[bytes]:
        """Siblings of a node from its level upwards."""
        proof = []
        for nodes in self._levels[level:-1]:
            if index ^ 1 < len(nodes):
                proof.append(nodes[index ^ 1])
            index //= 2
        return proof

    def below(self, level: int, index: int) -> list[bytes]:
        """The nodes up to four levels below one that is no leaf."""
        down = min(FAN_OUT_LEVELS, level)
        return self._levels[level - down][index << down : (index + 1) << down]


def width_of(size: int, level: int) -> int:
    """Nodes of a level of a tree of ``size`` leaves."""
    return -(-size // (1 << level))


def top_of(size: int) -> int:
    """The level of the root of a tree of ``size`` leaves."""
    return (size - 1).bit_length()
