"""What each round runs while the model's depth changes: the architecture, its young layers' age, and the growth if any.

The same as ``governance.activation`` is for the vocabulary. A growth that was activated takes effect with the next
outer step that can take it; until then, and after an abort, nothing is another.
"""

from dataclasses import dataclass, replace

from consensus.errors import GrowthError
from consensus.model.config import ModelConfig
from consensus.training.growth import Growth
from economics.units import Steps
from governance.activation import Era, History
from governance.announcement import Announcement


@dataclass(frozen=True, slots=True)
class Depth:
    """The depth of one round. ``config``: what it trains; ``round_steps``: inner steps that a round counts for the age
    of young layers, whatever a single claim holds; ``next``: the growth that waits for an outer step."""

    config: ModelConfig
    round_steps: Steps
    version: int = 0
    next: Announcement | None = None

    def activated(self, growth: Announcement) -> "Depth":
        """With ``growth`` to come. Raises GrowthError where it starts from another depth, or another one waits."""
        if self.next is not None or (growth.parent, growth.before) != (self.version, self.config.layers):
            raise GrowthError(f"growth {growth.number} does not follow version {self.version} of the depth")
        return replace(self, next=growth)

    def growth(self, config: ModelConfig) -> Growth | None:
        """What the outer step of a round of ``config`` ends with; a growth waits until young layers are grown up."""
        return None if self.next is None or config.young else Growth(config, self.next.after, self.next.hash())

    def era(self, history: History, current: int, target: int) -> Era:
        """What a round between these versions of the vocabulary runs. One change a round: the vocabulary's goes first.

        Raises VocabularyError as ``History.era`` does.
        """
        words = history.era(self.config, current, target)
        return words if words.change is not None else replace(words, change=self.growth(words.config))

    def closed(self, era: Era, stepped: bool) -> "Depth":
        """The depth of the next round; ``era``: what this one ran, ``stepped``: whether it ended with an outer step."""
        if not stepped:
            return self
        if isinstance(era.change, Growth):
            return Depth(era.after, self.round_steps, self.version + 1)
        return replace(self, config=era.after.older(self.round_steps))
