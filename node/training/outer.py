"""The outer step of a round: every node takes it for itself from updates that match their claims."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from consensus.commitments.tensors import global_root, tensor_set_root
from consensus.errors import CompressionError
from consensus.training.claimed import claimed_update, unpack_update, update_bytes
from consensus.training.growth import Transition
from consensus.training.outer import GlobalState, outer_step, update_weight
from economics.cohort import update_freshness
from node.artefacts.client import ArtefactClient
from node.artefacts.layout import UPDATE_NAME, round_folder
from node.errors import PeerError
from node.logs import get_logger
from node.paths import read_bounded
from node.storage.checkpoints import CheckpointStore
from node.storage.errors import TensorFileError
from node.storage.tensorfile import Shapes, Tensors
from node.training.auditor import Auditor
from node.training.errors import OuterMismatchError
from node.training.ledger import ClaimView, RoundView

log = get_logger("outer")


@dataclass(frozen=True)
class NextState:
    """The global state after a round, and its root."""

    root: bytes
    state: GlobalState


def update_weights(view: RoundView) -> list[int]:
    """What the updates of a round's final claims count in its outer step, in the chain's order: late ones less."""
    return [update_weight(final.claim.steps, update_freshness(view.age(final.claim))) for final in view.finals]


class OuterLoop:
    """Takes outer steps for one node, whose address is `me` and which publishes in `artefacts`; `change`: of the
    vocabulary or the layers, that they end with."""

    def __init__(
        self,
        me: str,
        shapes: Shapes,
        own: CheckpointStore,
        auditor: Auditor,
        folder: Path,
        artefacts: Path,
        change: Transition | None = None,
    ) -> None:
        self._me, self._shapes, self._own, self._auditor = me, shapes, own, auditor
        self._folder, self._artefacts, self._change = folder, artefacts, change

    def next_state(self, view: RoundView, start: GlobalState) -> NextState:
        """The state that follows from the round's final claims.

        Raises:
            PeerError: an update is neither here nor served by anybody. OuterStepError (consensus). DiskError.
        """
        state = outer_step(start, list(zip(update_weights(view), self.updates(view, start), strict=True)))
        if self._change is not None:
            state = self._change.state(state)
        return NextState(global_root(state.weights, state.velocity), state)

    def updates(self, view: RoundView, start: GlobalState) -> list[Tensors]:
        """The updates of the round's final claims, in the chain's order.

        Raises:
            PeerError: one is neither here nor served by anybody. DiskError.
        """
        return [self._update(view, final, start) for final in view.finals]

    def require_same(self, view: RoundView, computed: NextState) -> None:
        """Check the posted outer claim against what this node computed.

        Raises:
            OuterMismatchError: they differ.
        """
        outer = view.outer
        if outer is not None and outer.claim.end_root != computed.root:
            raise OuterMismatchError(
                f"{outer.node} posted 0x{outer.claim.end_root.hex()} as the state after round {view.number}, "
                f"but from the same {len(view.finals)} updates this node computed 0x{computed.root.hex()}.",
                "Do not trust the posted state. If other nodes stop too, it is wrong; else run `ponw doctor` here.",
            )

    def _update(self, view: RoundView, final: ClaimView, start: GlobalState) -> Tensors:
        kept = self._kept(final, start)
        if kept is not None:
            return kept
        # The prover first; after that anybody may serve the bytes, for their root is on chain.
        uris = [view.uris[final.node]] if final.node in view.uris else []
        return self._fetch(final, uris)

    def _kept(self, final: ClaimView, start: GlobalState) -> Tensors | None:
        path, mine = self._auditor.update(final), final.node == self._me
        if mine and final.claim.is_late:
            # The round that it began from may be gone; what was published of it is not.
            path = round_folder(self._artefacts, final.claim.round) / UPDATE_NAME
        try:
            if mine and not final.claim.is_late:
                end = self._own.load(self._own.path(final.claim.round, final.claim.steps))
                update = claimed_update(start.weights, dict(end.groups["weights"]))
            elif path.exists():
                update = unpack_update(read_bounded(path, update_bytes(self._shapes)), self._shapes)
            else:
                return None
        except (TensorFileError, CompressionError, FileNotFoundError) as error:
            log.warning("an update kept here is unusable; fetching it", node=final.node, reason=str(error))
            return None
        return update if tensor_set_root(update) == final.claim.update_root else None

    def _fetch(self, final: ClaimView, uris: Iterable[str]) -> Tensors:
        target = self._folder / UPDATE_NAME
        self._folder.mkdir(parents=True, exist_ok=True)
        for uri in uris:
            try:
                with ArtefactClient(uri) as client:
                    update = client.fetch_update(client.index(final.claim.round), self._shapes, target)
            except PeerError as error:
                log.warning("no update from this peer", node=final.node, uri=uri, reason=str(error))
                continue
            finally:
                target.unlink(missing_ok=True)
            if tensor_set_root(update) == final.claim.update_root:
                log.info("update fetched", node=final.node, uri=uri, bytes=update_bytes(self._shapes))
                return update
            log.warning("a peer serves another update than it claimed", node=final.node, uri=uri)
        raise PeerError(
            f"The update of {final.node} for round {final.claim.round} is served by nobody.",
            "The node asks again, and takes the next state from a peer once it is final.",
        )
