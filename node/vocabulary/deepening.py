"""What a growth of layers must carry, computed from this node's own programs, and the checks of what one carries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from consensus.errors import ConsensusError
from consensus.program.known import suite_of
from consensus.training.growth import Growth
from economics.constants import GROWTH_LAYERS_MIN, GROWTH_RATE_STEPS
from economics.units import Steps
from governance.activation import Deeper, History
from governance.announcement import Announcement
from governance.growth import most_added
from governance.proposals import Refusal
from governance.tokenizer import Encoder
from node.chain.types import Change, Deepening
from node.data.versioned import versioned
from node.training.work import Workshop
from node.vocabulary.proposing import Check, Tell
from node.vocabulary.versions import deeper_of


@dataclass(frozen=True)
class DepthDesk:
    """Captures programs over one workshop: version 0's, with the network's byte dataset."""

    base: Workshop
    history: History
    tell: Tell = lambda _: None

    def draft(self, growth: Announcement, round_steps: Steps) -> Change:
        """The whole growth. Captures a suite for each young round, twice, and three more: seconds to minutes.

        Raises:
            VocabularyError, GrowthError, OuterStepError, ProgramError (consensus): it does not fit the model.
            ManifestError, ShardError, DiskError: the text.
        """
        parent, deeper = growth.parent, Deeper(growth, round_steps)
        config = self.history[parent].config(self.base.config)
        grows = Growth(config, growth.after, growth.hash())
        grown = grows.after(config).grown_up
        self.tell("capturing the round that grows")
        grow = suite_of(config, grows).hash()
        young = []
        for left in range(deeper.rounds, 0, -1):
            self.tell(f"capturing young round {deeper.rounds - left + 1} of {deeper.rounds}")
            aged = deeper.aged(grown, left)
            young.append((suite_of(aged).hash(), suite_of(aged, Growth(aged, growth.before)).hash()))
        self.tell("capturing rounds of grown-up layers")
        program, shrink = suite_of(grown).hash(), suite_of(grown, Growth(grown, growth.before)).hash()
        told = Deepening(growth.number, growth.time, round_steps, growth.before, growth.after, tuple(young))
        return Change(parent, program, grow, shrink, self._data_root(parent), told.encode(), deepens=True)

    def checks(self, change: Change) -> Iterator[Check]:
        """Every rule in turn; the hashes only where the growth fits the model."""
        deepening = change.deepening
        if deepening is None:
            yield Check("it is a growth of layers", (Refusal("it is none"),))
            return
        form = self._form(change.parent, deepening)
        yield Check("it starts from the model as it is, and adds no fewer layers and no more than a growth may", form)
        if form:
            return
        try:
            deeper = deeper_of(change.parent, deepening)
            ours = self.draft(deeper.growth, deeper.round_steps)
        except ConsensusError as error:
            yield Check("its programs can be captured", (Refusal(error.message),))
            return
        yield Check("program hashes and the root of the dataset are recomputed alike", tuple(_different(change, ours)))

    def _form(self, parent: int, deepening: Deepening) -> tuple[Refusal, ...]:
        layers = self.history[parent].config(self.base.config).layers
        found = []
        if deepening.layers != layers:
            found.append(Refusal(f"it starts from {deepening.layers} layers, version {parent} has {layers}"))
        most = most_added(layers)
        added = deepening.grown - deepening.layers
        if not GROWTH_LAYERS_MIN <= added <= most:
            found.append(Refusal(f"it adds {added} layers, and may add {GROWTH_LAYERS_MIN} to {most}"))
        if not 0 < deepening.round_steps <= GROWTH_RATE_STEPS:
            found.append(Refusal(f"its rounds count {deepening.round_steps} steps"))
        return tuple(found)

    def _data_root(self, parent: int) -> bytes:
        worded = self.history.worded(parent)
        if not worded.number:
            return self.base.dataset.root
        return versioned(self.base.dataset, Encoder(worded.vocabulary), worded.root).root


def _hashes(change: Change) -> dict[str, bytes]:
    """Every hash that a growth carries, by what it is of."""
    named = {
        "program hash of grown-up layers": change.program_hash,
        "program hash of the round that grows": change.grow_hash,
        "program hash of the round that shrinks": change.shrink_hash,
        "root of the dataset": change.data_root,
    }
    young = () if change.deepening is None else change.deepening.young
    for number, (program, shrink) in enumerate(young, start=1):
        named[f"program hash of young round {number}"] = program
        named[f"program hash of the way back from young round {number}"] = shrink
    return named


def _different(claimed: Change, ours: Change) -> Iterator[Refusal]:
    there, here = _hashes(claimed), _hashes(ours)
    for what in there | here:
        theirs, mine = there.get(what, b""), here.get(what, b"")
        if theirs != mine:
            yield Refusal(f"the {what} is 0x{theirs.hex()}, recomputed it is 0x{mine.hex()}")
