"""What works on tensors of one shape: made anew for each version of the vocabulary, over the same files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from consensus.commitments.tensors import state_root
from node.artefacts.layout import ARTEFACTS_NAME
from node.dispute.evidence import Evidence
from node.storage.checkpoints import CheckpointStore
from node.training.auditor import Auditor
from node.training.outer import OuterLoop
from node.training.work import Workshop

CHECKPOINTS_NAME = "checkpoints"
STATES_NAME = "states"
AUDIT_NAME = "audit"
DISPUTES_NAME = "disputes"


@dataclass(frozen=True)
class Tools:
    """One node's audits, evidence and outer steps in one workshop; `own` are its checkpoints."""

    shop: Workshop
    own: CheckpointStore
    auditor: Auditor
    evidence: Evidence
    outer: OuterLoop

    @classmethod
    def of(cls, shop: Workshop, home: Path, me: str, tick: Callable[[], None] = lambda: None) -> Tools:
        """The tools of the node with this home and address; `tick` is called at every recomputed step."""
        shapes = shop.config.shapes()
        own = CheckpointStore(home / CHECKPOINTS_NAME, shapes, state_root)
        auditor = Auditor(shop, home / AUDIT_NAME, tick)
        outer = OuterLoop(me, shapes, own, auditor, home / AUDIT_NAME, home / ARTEFACTS_NAME, shop.change)
        return cls(shop, own, auditor, Evidence(home / DISPUTES_NAME, shapes), outer)
