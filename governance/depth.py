"""What each round runs while the model's depth changes: the architecture, its young layers' age, and the growth if any.

The same as ``governance.activation`` is for the vocabulary. A growth that was activated takes effect with the next
outer step there is; until then, and after an abort, nothing is another.
"""

from dataclasses import dataclass, replace

from consensus.errors import GrowthError
from consensus.model.config import ModelConfig
from consensus.training.growth import Growth
from economics.units import Steps
from governance.activation import Era
from governance.announcement import Announcement


@dataclass(frozen=True, slots=True)
class Depth:
    """The depth of one round. ``config``: what it trains; ``round_steps``: inner steps that a round counts for the age
    of young layers, whatever a single claim holds; ``next``: the growth that its outer step ends with."""

    config: ModelConfig
    round_steps: Steps
    version: int = 0
    next: Announcement | None = None

    def activated(self, growth: Announcement) -> "Depth":
        """The round that ends with ``growth``. Raises GrowthError where it starts from another depth, or one waits."""
        if self.next is not None or (growth.parent, growth.before) != (self.version, self.config.layers):
            raise GrowthError(f"growth {growth.number} does not follow version {self.version} of the depth")
        return replace(self, next=growth)

    @property
    def era(self) -> Era:
        """What the round runs; its versions are those of the depth. A growth waits for young layers to be grown up."""
        if self.next is None or self.config.young:
            return Era(self.version, self.version, self.config)
        growth = Growth(self.config, self.next.after, self.next.hash())
        return Era(self.version, self.version + 1, self.config, growth)

    def closed(self, stepped: bool) -> "Depth":
        """The depth of the next round; ``stepped``: whether this one ended with an outer step."""
        era = self.era
        if not stepped:
            return self
        if era.change is None:
            return replace(self, config=self.config.older(self.round_steps))
        return Depth(era.after, self.round_steps, era.target)
