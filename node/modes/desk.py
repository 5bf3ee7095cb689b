"""Keeps a running node's mode: measures the machine, looks at the network, writes the view for the commands."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from consensus.arithmetic.engine import Engine
from consensus.model.config import ModelConfig
from consensus.quorum.capacity import layout_of
from consensus.quorum.modes import Action, Mode
from consensus.quorum.parts import part_count, span_name
from economics.networks import MAINNET_TIMES, QuorumTimes
from node.modes.advisor import Advice, Advisor, Machine
from node.modes.benchmark import SelfBenchmark
from node.modes.sources import RecordSource, ViewSource
from node.modes.view import NetworkView, NodeRow, Range, write_view

WRITE_SECONDS = 2.0
TRAINING = frozenset({Mode.SOLO, Mode.PIPELINE, Mode.ASYNC})
"""Modes in which the round loop trains; in the others it audits and settles only."""
NO_PEERS = "no peer network is connected"


@dataclass
class ModeDesk:
    """One node's mode. `look` is called by the thread that owns the engine, between steps.

    ``source``: the peer network's view; without one the node knows the accounts that the chain names, and there is no
    quorum to join or to form. ``clock`` never goes backwards, ``unix`` is this machine's time; both in seconds.
    """

    home: Path
    account: str
    memory: int
    forced: Mode | None = None
    source: ViewSource | None = None
    offline: str = ""
    """Why this node takes part in no quorum although it has a source, in words; "" where it does."""
    times: QuorumTimes = MAINNET_TIMES
    clock: Callable[[], float] = time.monotonic
    unix: Callable[[], float] = time.time
    advice: Advice | None = None
    bench: SelfBenchmark = field(init=False)
    _advisor: Advisor | None = field(default=None, init=False)
    _config: ModelConfig | None = field(default=None, init=False)
    _written: float = field(default=float("-inf"), init=False)

    def __post_init__(self) -> None:
        self.bench = SelfBenchmark(self.clock, self.times)

    @property
    def trains(self) -> bool:
        """Whether the mode of the last look is one that trains."""
        return self.advice is None or self.advice.choice.mode in TRAINING

    @property
    def forms(self) -> bool:
        """Whether the choice of the last look is to form a quorum."""
        return self.advice is not None and self.advice.choice.action is Action.FORM

    def look(
        self, engine: Engine, config: ModelConfig, uris: Mapping[str, str], staked: bool = True
    ) -> dict[str, object]:
        """The mode, why, and the machine's figures, as fields of the snapshot; the view is written now and then.

        ``uris``: where each account of the network serves, from the chain.

        Raises:
            DiskError: the view cannot be written.
        """
        layer_us = self.bench.look(engine, config)
        advisor = self._advisor_of(config)
        view = self.source.view() if self.source else None
        known = view or self._from_chain(config, uris)
        machine = Machine(self.account, layer_us, self.memory, staked=staked, forced=self.forced)
        seen = {self.account.lower(), *(row.account.lower() for row in known.online())}
        nodes = max(len(uris), len(seen))
        self.advice = advisor.advise(machine, known, nodes)
        self._write(known)
        choice, span = self.advice.choice, self.advice.span
        holds = span_name(span, part_count(config.layers)) if span else "nothing"
        return {
            "mode": choice.mode.value,
            "why": choice.why,
            "nodes": nodes,
            "tier": self.bench.tier,
            "layer_us": layer_us,
            "holds": holds,
        }

    def _advisor_of(self, config: ModelConfig) -> Advisor:
        if self._advisor is None or config != self._config:
            self._advisor, self._config = Advisor(layout_of(config), self.unix, self.times), config
        self._advisor.offline = self.offline if self.source else NO_PEERS
        return self._advisor

    def _from_chain(self, config: ModelConfig, uris: Mapping[str, str]) -> NetworkView:
        now = int(self.unix())
        others = [a for a in uris if a.lower() != self.account.lower()]
        rows = [
            NodeRow(account=a, addresses=[uris[a][:300]], last_heartbeat=now, why="named by the chain") for a in others
        ]
        return RecordSource(config.layers, lambda: rows, self.unix, account=self.account).view()

    def _write(self, view: NetworkView) -> None:
        at = self.clock()
        if at - self._written < WRITE_SECONDS:
            return
        self._written = at
        own = self.own_row()
        rows = [row for row in view.nodes if row.account.lower() != self.account.lower()]
        nodes = sorted([*rows, own], key=lambda row: row.account.lower())
        write_view(self.home, view.model_copy(update={"nodes": nodes, "updated": self.unix(), "account": self.account}))

    def own_row(self) -> NodeRow:
        """This node's record."""
        choice, span = (self.advice.choice, self.advice.span) if self.advice else (None, None)
        return NodeRow(
            account=self.account,
            mode=choice.mode.value if choice else "",
            why=choice.why[:300] if choice else "",
            layer_us=self.bench.layer_us,
            memory=self.memory,
            held=Range(start=span.start, stop=span.stop) if span else None,
            last_heartbeat=int(self.unix()),
        )
