"""Which rounds run in which version: rebuilt from what the chain activated.

A version is a change of the vocabulary or a growth of layers. A round runs from the current version to the target.
Where they are the same it is an ordinary one; else its outer step ends with the change between the two: growth where
the target is the newer one, the growth taken back where it is older. After a growth of layers come rounds in which the
new layers are young, as many as the growth says.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from consensus.errors import VocabularyError
from consensus.model.config import ModelConfig
from consensus.training.growth import Growth, Transition
from consensus.training.resize import Change
from economics.constants import GROWTH_RATE_STEPS
from economics.units import Steps
from governance.announcement import Announcement
from governance.tokenizer.vocabulary import Pair, Vocabulary
from governance.versions import ROOT_0, next_root


@dataclass(frozen=True, slots=True)
class Deeper:
    """What makes a version that is a growth of layers. ``round_steps``: inner steps that a round counts for the age of
    the new layers, whatever a single claim holds."""

    growth: Announcement
    round_steps: Steps

    @property
    def rounds(self) -> int:
        """Rounds in which the new layers are young."""
        return -(-GROWTH_RATE_STEPS // self.round_steps)

    def aged(self, grown: ModelConfig, young: int) -> ModelConfig:
        """The grown architecture with ``young`` such rounds left, this one included. Raises VocabularyError where there
        never were so many."""
        if not 0 <= young <= self.rounds:
            raise VocabularyError(f"a growth of {self.rounds} young rounds has no {young} of them left")
        return replace(grown, young=self.growth.added).older((self.rounds - young) * self.round_steps)


@dataclass(frozen=True)
class Version:
    """One version: what its ancestors and it added, and the root that binds them. A growth of layers has its parent's
    vocabulary and root. ``layers``: of its model, 0 where they are those of version 0."""

    number: int
    parent: int
    root: bytes
    added: tuple[Pair, ...]
    vocabulary: Vocabulary
    layers: int = 0
    deeper: Deeper | None = None

    def config(self, base: ModelConfig, young: int = 0) -> ModelConfig:
        """Its architecture with so many rounds with young layers left; ``base`` is that of version 0.

        Raises VocabularyError where it never has so many.
        """
        config = replace(base, vocab=self.vocabulary.rows, layers=self.layers or base.layers)
        return config if self.deeper is None else self.deeper.aged(config, young)


@dataclass(frozen=True, slots=True)
class Era:
    """What a round runs: training of ``config``, then an outer step that ends with ``change``."""

    current: int
    target: int
    config: ModelConfig
    change: Transition | None = None

    @property
    def after(self) -> ModelConfig:
        """The architecture of the state that the round's outer step leaves."""
        return self.config if self.change is None else self.change.after(self.config)


class History:
    """Every version there is. Only ever added to: a version that was taken back keeps its number."""

    def __init__(self) -> None:
        self._versions = [Version(0, 0, ROOT_0, (), Vocabulary())]

    def __len__(self) -> int:
        return len(self._versions)

    def __getitem__(self, number: int) -> Version:
        """Raises VocabularyError for a version that there is not."""
        if not 0 <= number < len(self._versions):
            raise VocabularyError(f"there is no version {number} of the vocabulary")
        return self._versions[number]

    def add(self, number: int, parent: int, added: Sequence[Pair]) -> Version:
        """The next version; raises VocabularyError where it does not follow, or a merge joins what does not exist."""
        if number != len(self._versions):
            raise VocabularyError(f"version {number} does not follow version {len(self._versions) - 1}")
        before = self[parent]
        root = next_root(before.root, added)
        version = Version(number, parent, root, tuple(added), before.vocabulary.extended(added), before.layers)
        self._versions.append(version)
        return version

    def deepen(self, number: int, parent: int, deeper: Deeper) -> Version:
        """The next version, a growth of layers; raises VocabularyError where it does not follow, or starts from another
        version than it says."""
        if number != len(self._versions) or deeper.growth.parent != parent:
            raise VocabularyError(f"version {number}, a growth of version {deeper.growth.parent}, follows none")
        before = self[parent]
        version = Version(number, parent, before.root, (), before.vocabulary, deeper.growth.after, deeper)
        self._versions.append(version)
        return version

    def worded(self, number: int) -> Version:
        """The version whose change of the vocabulary a version still has: its text is that of both."""
        version = self[number]
        return version if version.deeper is None else self.worded(version.parent)

    def era(self, base: ModelConfig, current: int, target: int, young: int = 0) -> Era:
        """What a round from ``current`` to ``target`` runs, with so many rounds with young layers left; ``base`` is the
        architecture in version 0.

        Raises VocabularyError where neither is the other's parent, or the version never has so many young rounds.
        """
        here, there = self[current], self[target]
        config = here.config(base, young)
        if current == target:
            return Era(current, target, config)
        if there.parent == current:
            if there.deeper is not None:
                growth = there.deeper.growth
                if growth.before != config.layers or config.young:
                    raise VocabularyError(f"a growth of {growth.before} layers does not follow {config}")
                return Era(current, target, config, Growth(config, growth.after, growth.hash()))
            return Era(current, target, config, Change(there.vocabulary.rows, there.added))
        if here.parent == target:
            if here.deeper is not None:
                return Era(current, target, config, Growth(config, here.deeper.growth.before))
            return Era(current, target, config, Change(there.vocabulary.rows))
        raise VocabularyError(f"no single step leads from version {current} to version {target}")

    def youth(self, current: int, target: int, young: int, stepped: bool) -> int:
        """Rounds with young layers left when the round after such a one begins; ``stepped``: whether that one ended
        with an outer step."""
        if not stepped:
            return young
        deeper = self[target].deeper
        if current != target and deeper is not None and self[target].parent == current:
            return deeper.rounds
        return max(young - 1, 0) if current == target else 0
