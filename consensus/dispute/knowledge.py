"""What is known of a tree that somebody else committed to, and where it first differs from our own."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from consensus.commitments import tree
from consensus.commitments.levels import FAN_OUT_LEVELS, Levels, top_of, width_of
from consensus.errors import CommitmentError


@dataclass(frozen=True, slots=True)
class Place:
    """A node of a tree."""

    level: int
    index: int
    node: bytes


class UnknownNodeError(CommitmentError):
    """A node must be revealed before the dispute can go on; ``place`` says which."""

    def __init__(self, place: Place) -> None:
        super().__init__(f"node {place.index} of level {place.level} is not known")
        self.place = place


@dataclass
class Knowledge:
    """Nodes below nodes and data of leaves, by hash: what was served, or revealed on chain."""

    _below: dict[tuple[bytes, int], tuple[bytes, ...]] = field(default_factory=dict)
    _data: dict[bytes, bytes] = field(default_factory=dict)

    def learn_below(self, node: bytes, children: Sequence[bytes]) -> bool:
        """Take the nodes below one; False where they do not hash to it."""
        if not children or len(children) > 1 << FAN_OUT_LEVELS or tree.root(children) != node:
            return False
        self._below[(node, len(children))] = tuple(children)
        return True

    def learn_data(self, data: bytes) -> None:
        """Take the data of a leaf."""
        self._data[tree.leaf_hash(data)] = data

    def learn_tree(self, leaves: Sequence[bytes]) -> None:
        """Take all the data of a tree."""
        levels = Levels([tree.leaf_hash(data) for data in leaves])
        for data in leaves:
            self.learn_data(data)
        for level in range(levels.top, 0, -FAN_OUT_LEVELS):
            for index in range(width_of(levels.size, level)):
                self.learn_below(levels.node(level, index), levels.below(level, index))

    def below(self, node: bytes, count: int) -> tuple[bytes, ...] | None:
        """The ``count`` nodes below a node."""
        return self._below.get((node, count))

    def data(self, place: Place) -> bytes:
        """The data of a leaf; raises UnknownNodeError."""
        if place.node not in self._data:
            raise UnknownNodeError(place)
        return self._data[place.node]


class Foreign:
    """Somebody else's tree of the size of our own, known in part. What lies under equal nodes is our own."""

    def __init__(self, root: bytes, own: Levels, knowledge: Knowledge) -> None:
        self._own, self._knowledge = own, knowledge
        self._nodes = {(own.top, 0): root}

    def first_difference(self) -> Place | None:
        """The first leaf that differs; None where the trees are equal. Raises UnknownNodeError."""
        top = top_of(self._own.size)
        return self._descend(Place(top, 0, self._nodes[(top, 0)]))

    def prove(self, level: int, index: int) -> list[bytes]:
        """Siblings of a node upwards. Raises UnknownNodeError for a node that nothing is known of."""
        proof = []
        for at in range(level, self._own.top):
            if index ^ 1 < width_of(self._own.size, at):
                proof.append(self.node(at, index ^ 1))
            index //= 2
        return proof

    def node(self, level: int, index: int) -> bytes:
        """A node; raises UnknownNodeError where none above it is known to equal our own."""
        for up in range(self._own.top - level + 1):
            known = self._nodes.get((level + up, index >> up))
            if known is None:
                continue
            if up == 0:
                return known
            if known == self._own.node(level + up, index >> up):
                return self._own.node(level, index)
            raise UnknownNodeError(Place(level + up, index >> up, known))
        raise UnknownNodeError(Place(self._own.top, 0, self._nodes[(self._own.top, 0)]))

    def _descend(self, place: Place) -> Place | None:
        if place.node == self._own.node(place.level, place.index):
            return None
        if place.level == 0:
            return place
        own = self._own.below(place.level, place.index)
        children = self._knowledge.below(place.node, len(own))
        if children is None:
            raise UnknownNodeError(place)
        down = min(FAN_OUT_LEVELS, place.level)
        self._fill(place, children, down)
        differing = (i for i, (theirs, ours) in enumerate(zip(children, own, strict=True)) if theirs != ours)
        at = next(differing)  # equal children would have equal parents
        return self._descend(Place(place.level - down, (place.index << down) + at, children[at]))

    def _fill(self, place: Place, children: Sequence[bytes], down: int) -> None:
        nodes = list(children)
        for step in range(down):
            level, first = place.level - down + step, place.index << (down - step)
            self._nodes |= {(level, first + i): node for i, node in enumerate(nodes)}
            nodes = tree.level_up(nodes)
