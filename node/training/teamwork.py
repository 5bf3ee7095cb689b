"""A round's work done with a quorum: its steps by the pipeline, and on the leader's disk what a claim is made of."""

from __future__ import annotations

from collections.abc import Callable

from consensus.commitments.trace import StepLeaf
from node.quorum.team import Team, TeamRound
from node.training.inner import InnerLoop, RoundWork
from node.training.work import Workshop


def team_round(
    inner: InnerLoop,
    team: Team,
    work: RoundWork,
    start_root: bytes,
    shop: Workshop,
    on_leaf: Callable[[StepLeaf], None],
) -> None:
    """This member's stage of a round; afterwards the leader has every leaf and checkpoint of the whole model on disk.

    Only the leader records leaves: they are its claim's, whose batches follow from its account.

    Raises:
        PeerError: the quorum does not come to its end; the leader may go on alone from what is on its disk.
        LeafConflictError, DiskError, DatabaseError, TensorFileError, DivergedError (consensus).
    """
    known = inner.leaves(work.round)[: work.steps] if team.leads else []
    if team.leads:
        inner.begin(work)

    def take(leaf: StepLeaf) -> None:
        if team.leads:
            inner.record(work.round, leaf)
        on_leaf(leaf)

    batch = lambda step: shop.batch(work.task, step)  # noqa: E731
    team.train(TeamRound(work.round, start_root, lambda: work.weights, batch), known, take)
    if team.leads:
        team.assemble(work.round, inner.leaves(work.round)[: work.steps], inner.checkpoints)
