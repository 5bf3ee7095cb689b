"""Which rounds run in which version: rebuilt from what the chain activated.

A round runs from the current version to the target. Where they are the same it is an ordinary one; else its outer step
ends with the change between the two: growth where the target is the newer one, the growth taken back where it is older.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from consensus.errors import VocabularyError
from consensus.model.config import ModelConfig
from consensus.training.growth import Transition
from consensus.training.resize import Change
from governance.tokenizer.vocabulary import Pair, Vocabulary
from governance.versions import ROOT_0, next_root


@dataclass(frozen=True)
class Version:
    """One version: what its ancestors and it added, and the root that binds them."""

    number: int
    parent: int
    root: bytes
    added: tuple[Pair, ...]
    vocabulary: Vocabulary


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
        version = Version(number, parent, root, tuple(added), before.vocabulary.extended(added))
        self._versions.append(version)
        return version

    def era(self, base: ModelConfig, current: int, target: int) -> Era:
        """What a round from ``current`` to ``target`` runs; ``base`` is the architecture in version 0.

        Raises VocabularyError where neither is the other's parent.
        """
        here, there = self[current], self[target]
        config = replace(base, vocab=here.vocabulary.rows)
        if current == target:
            return Era(current, target, config)
        if there.parent == current:
            return Era(current, target, config, Change(there.vocabulary.rows, there.added))
        if here.parent == target:
            return Era(current, target, config, Change(there.vocabulary.rows))
        raise VocabularyError(f"no single step leads from version {current} to version {target}")
