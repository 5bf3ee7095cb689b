"""Audits: recompute drawn segments of a peer's claim and say where it is wrong."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from consensus.commitments.tensors import state_root, tensor_set_root
from consensus.commitments.trace import StepLeaf, Trace
from consensus.dispute.audit import Segment, draw_segments, first_difference
from consensus.errors import CommitmentError, DivergedError
from consensus.training.claimed import claimed_update, pack_update
from consensus.training.step import TrainState
from economics.cohort import segment_length
from economics.constants import AUDIT_SEGMENTS, MAX_STEPS
from node.artefacts.client import ArtefactClient
from node.artefacts.layout import RoundIndex, checkpoint_name
from node.errors import PeerError
from node.paths import write_atomic
from node.storage.checkpoints import TRAIN_GROUPS
from node.storage.errors import TensorFileError
from node.storage.tensorfile import Tensors, load_tensors
from node.training.ledger import ClaimView, RoundView
from node.training.work import Task, Workshop

MAX_GAP: Final = 2 * segment_length(MAX_STEPS)
"""Steps. A checkpoint further than this before a drawn segment counts as not served. Two segments of the longest claim,
not of the one at hand: who was cut short has spaced its checkpoints by the steps that it had planned."""


class WithheldError(PeerError):
    """A prover does not serve what its claim commits to; `step` is one that needs it."""

    def __init__(self, message: str, step: int) -> None:
        super().__init__(message, "Ask again; when the window closes, challenge that step.")
        self.step = step


@dataclass(frozen=True)
class Finding:
    """What an audit found. `step` is the first wrong step (the number of steps for a wrong update), None where
    everything agreed; `before` the state that it starts from."""

    step: int | None
    detail: str
    before: TrainState | None = None


@dataclass(frozen=True)
class _Evidence:
    client: ArtefactClient
    index: RoundIndex
    trace: list[StepLeaf]


class Auditor:
    """Recomputes claims of one network. `folder` holds what is fetched, and updates of claims that passed."""

    def __init__(
        self, workshop: Workshop, folder: Path, keep_going: Callable[[], None], max_gap: int = MAX_GAP
    ) -> None:
        self._workshop, self._folder, self._tick, self._max_gap = workshop, folder, keep_going, max_gap
        shapes = workshop.config.shapes()
        self._shapes = {f"{group}/{name}": shape for group in TRAIN_GROUPS for name, shape in shapes.items()}

    def audit(
        self, view: RoundView, suspect: ClaimView, start: Tensors, seed: bytes, auditor: bytes, uri: str | None
    ) -> Finding:
        """Recompute what `seed` draws for `auditor` (20 bytes) of one TRAIN claim, and its whole update. `start`: the
        global weights that its work began from.

        Raises:
            WithheldError: the prover does not serve what it committed to. DiskError: this machine's disk.
        """
        claim = suspect.claim
        segments = draw_segments(seed, suspect.hash, auditor, claim.steps, segment_length(claim.steps), AUDIT_SEGMENTS)
        if uri is None:
            raise WithheldError(f"{suspect.node} has announced no address.", segments[0].start)
        work = self._folder / "fetched"
        try:
            with ArtefactClient(uri) as client:
                evidence = self._trace(client, suspect, work)
                return self._check(view, suspect, start, segments, evidence, work)
        except (PeerError, TensorFileError, CommitmentError) as error:
            step = error.step if isinstance(error, WithheldError) else segments[0].start
            raise WithheldError(f"{suspect.node} does not serve its claim: {error}", step) from error
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def update(self, suspect: ClaimView) -> Path:
        """Where the checked update of a claim is kept."""
        return self._folder / "updates" / f"{suspect.claim.round}-{suspect.hash.hex()}.bin"

    def drop_before(self, number: int) -> None:
        """Remove updates of rounds before this one."""
        folder = self._folder / "updates"
        for path in folder.glob("*-*.bin") if folder.is_dir() else ():
            if int(path.name.partition("-")[0]) < number:
                path.unlink()

    def _trace(self, client: ArtefactClient, suspect: ClaimView, work: Path) -> _Evidence:
        claim = suspect.claim
        work.mkdir(parents=True, exist_ok=True)
        index = client.index(claim.round)
        leaves = [StepLeaf.decode(leaf) for leaf in client.fetch_trace(index, claim.steps, work / "trace.bin")]
        if Trace(leaves).root() != claim.trace_root:
            # A trace with fewer or more leaves than steps cannot be opened at its last step, whatever else it can.
            raise WithheldError("the trace served is not the one committed to", claim.steps - 1)
        return _Evidence(client, index, leaves)

    def _check(
        self,
        view: RoundView,
        suspect: ClaimView,
        start: Tensors,
        segments: list[Segment],
        evidence: _Evidence,
        work: Path,
    ) -> Finding:
        claim, last = suspect.claim, suspect.claim.steps - 1
        if evidence.trace[last].state_root != claim.end_root:
            return Finding(last, f"step {last}: the trace does not end in the claim's end root")
        task = Task(view.start_of(claim).randomness, claim.node)
        for segment in segments:
            state = self._state_before(segment, start, evidence, work)
            finding = self._recompute(state, task, segment, evidence.trace)
            if finding is not None:
                # Stepping is in place, so the state before the wrong step is made once more.
                before = self._state_before(segment, start, evidence, work)
                for _ in self._workshop.steps(before, task, finding.step or 0):
                    self._tick()
                return replace(finding, before=before)
        end = self._load(claim.steps, evidence, work)
        update = claimed_update(start, end.weights)
        if tensor_set_root(update) != claim.update_root:
            return Finding(claim.steps, "the update is not start weights minus end weights, rounded", end)
        write_atomic(self.update(suspect), pack_update(update))
        done = ", ".join(f"{s.start}-{s.stop - 1}" for s in segments)
        return Finding(None, f"steps {done} and the update agree")

    def _recompute(self, state: TrainState, task: Task, segment: Segment, trace: list[StepLeaf]) -> Finding | None:
        while state.step < segment.stop:
            self._tick()
            step = state.step
            try:
                leaf = self._workshop.step(state, task)
            except DivergedError as error:
                return Finding(step, f"step {step}: {error.message}")
            difference = first_difference([trace[step]], [leaf])
            if difference is not None:
                return Finding(difference.step, str(difference))
        return None

    def _state_before(self, segment: Segment, start: Tensors, evidence: _Evidence, work: Path) -> TrainState:
        served = [step for step in evidence.index.checkpoint_steps() if step <= segment.start]
        nearest = max(served, default=0)
        if segment.start - nearest > self._max_gap:
            raise WithheldError(f"no checkpoint near step {segment.start} is served", segment.start)
        return TrainState.start(start) if nearest == 0 else self._load(nearest, evidence, work)

    def _load(self, step: int, evidence: _Evidence, work: Path) -> TrainState:
        name = checkpoint_name(step)
        if (work / name).exists():
            tensors = load_tensors(work / name, self._shapes).tensors
        else:
            tensors = evidence.client.fetch_tensors(evidence.index, name, self._shapes, work / name).tensors
        weights, m, v = (_group(tensors, group) for group in TRAIN_GROUPS)
        if state_root(weights, m, v) != evidence.trace[step - 1].state_root:
            raise WithheldError(f"the checkpoint after step {step - 1} is not the one committed to", step - 1)
        return TrainState(weights, m, v, step)


def _group(tensors: Tensors, group: str) -> Tensors:
    return {name.removeprefix(f"{group}/"): t for name, t in tensors.items() if name.startswith(f"{group}/")}
