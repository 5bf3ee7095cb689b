"""Whether the network carries more layers, by what this node has seen of it: what a voter wants to know."""

from __future__ import annotations

import math

from consensus.model.config import ModelConfig
from consensus.quorum.capacity import FLOAT
from economics.units import Seconds, Steps
from governance.growth import Course, Member, Observation, obstacles
from node.chain.contracts import Contracts
from node.chain.events import ProposalExecuted
from node.chain.growth_events import GrowthAborted
from node.chain.types import Change
from node.modes.view import NetworkView


def lacking(contracts: Contracts, first: int, view: NetworkView, config: ModelConfig, change: Change) -> list[str]:
    """Why the rule would announce no growth of ``config`` now (docs/GROWTH.md); none where it would."""
    deepening, registry = change.deepening, contracts.registry
    if deepening is None:
        return []
    count, last = deepening.round_steps, _last_attempt(contracts, first)
    since = registry.current_round(last) if last else 0
    course = Course(config.layers, mark=Steps(since * count))
    return obstacles(course, _observed(view, config, Steps(registry.current_round() * count)))


def _observed(view: NetworkView, config: ModelConfig, steps: Steps) -> Observation:
    members = tuple(
        Member(row.tier or 5, row.memory, frozenset(part - 1 for part in range(row.held.start, row.held.stop)))
        for row in view.online()
        if row.held is not None
    )
    sizes = {name: FLOAT * math.prod(shape) for name, shape in config.shapes().items()}
    layer = sum(size for name, size in sizes.items() if name.startswith("layer000."))
    return Observation(Seconds(int(view.updated)), steps, members, layer, sum(sizes.values()) - config.layers * layer)


def _last_attempt(contracts: Contracts, first: int) -> int:
    """The block of the newest growth that was activated or aborted; 0 where there was none."""
    newest = contracts.client.block().number
    ended = contracts.growth.events(first, newest, ProposalExecuted, GrowthAborted)
    return max((event.block for event in ended), default=0)
