"""The global states a node has: computed by itself, or fetched from a peer and checked against the chain's root."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from consensus.commitments.tensors import global_root
from consensus.errors import CommitmentError
from consensus.training.outer import GlobalState
from node.artefacts.client import ArtefactClient
from node.artefacts.layout import BASE_NAME, GLOBAL_NAME
from node.errors import PeerError
from node.logs import get_logger
from node.storage.checkpoints import GLOBAL_GROUPS, Checkpoint, CheckpointStore
from node.storage.errors import TensorFileError
from node.storage.tensorfile import Shapes, Tensors, largest_file, load_tensors
from node.training.errors import StateUnavailableError

log = get_logger("states")


class GlobalStates:
    """Global states by the round they start, in one folder. They have the genesis state's shapes unless others are
    given: those of the model in the round's version."""

    def __init__(self, folder: Path, shapes: Shapes, genesis: GlobalState) -> None:
        self._folder, self._shapes = folder, shapes
        self._store = self._shaped(shapes)
        self._genesis = genesis
        self._genesis_root = global_root(genesis.weights, genesis.velocity)

    def save(self, number: int, root: bytes, state: GlobalState) -> Path:
        """Keep the state that round `number` starts from.

        Raises:
            DiskError: no space or no permission.
        """
        groups = {"weights": state.weights, "velocity": state.velocity}
        return self._store.save(Checkpoint(number, 0, root, groups))

    def path(self, number: int) -> Path:
        """The file of a kept state."""
        return self._store.path(number, 0)

    def own(self, number: int, root: bytes, shapes: Shapes | None = None) -> GlobalState | None:
        """The state with `root` that round `number` starts from, if this node has it; kept under that round."""
        if root == self._genesis_root:
            return self._keep(number, root, self._genesis)
        for saved, _ in reversed(self._store.saved()):
            # A round without a final claim leaves its state to the next one.
            found = self._load(saved, root, shapes or self._shapes) if saved <= number else None
            if found is not None:
                return found if saved == number else self._keep(number, root, found)
        return None

    def fetch(self, number: int, root: bytes, uris: Iterable[str], shapes: Shapes | None = None) -> GlobalState:
        """The state with `root` from the first peer that serves it whole.

        Raises:
            StateUnavailableError: nobody does. DiskError: this machine's disk.
        """
        return self._fetch(number, root, [(uri, number, GLOBAL_NAME) for uri in uris], shapes)

    def fetch_base(
        self, number: int, root: bytes, posted: int, prover: list[str], uris: Iterable[str], shapes: Shapes
    ) -> GlobalState:
        """As `fetch`, of the round that a late claim of round `posted` began in: the prover serves it with its claim,
        and others may have it still."""
        places = [(uri, posted, BASE_NAME) for uri in prover]
        return self._fetch(number, root, [*places, *((uri, number, GLOBAL_NAME) for uri in uris)], shapes)

    def _fetch(
        self, number: int, root: bytes, places: Iterable[tuple[str, int, str]], shapes: Shapes | None
    ) -> GlobalState:
        """From the first of these places, (address, round, file), that serves it."""
        expected = _grouped(shapes or self._shapes)
        target = self.path(number)
        target.parent.mkdir(parents=True, exist_ok=True)
        for uri, listed, name in places:
            try:
                with ArtefactClient(uri) as client:
                    client.fetch(client.index(listed), name, target, max_bytes=largest_file(expected))
                groups = _groups(load_tensors(target, expected).tensors)
            except (PeerError, TensorFileError, CommitmentError) as error:
                log.warning("no global state from this peer", uri=uri, reason=str(error))
                continue
            state = GlobalState(groups["weights"], groups["velocity"])
            if global_root(state.weights, state.velocity) == root:
                return self._keep(number, root, state)
            log.warning("a peer serves another global state than the chain's", uri=uri, round=number)
        target.unlink(missing_ok=True)
        raise StateUnavailableError(
            f"No peer serves the global state 0x{root.hex()} that round {number} starts from.",
            "Wait for a peer to come back; the node keeps asking.",
        )

    def drop_before(self, number: int, kept: Collection[int] = ()) -> None:
        """Remove states of rounds before this one, but those in `kept`."""
        self._store.drop_before(number, kept)

    def _keep(self, number: int, root: bytes, state: GlobalState) -> GlobalState:
        self.save(number, root, state)
        return state

    def _shaped(self, shapes: Shapes) -> CheckpointStore:
        return CheckpointStore(self._folder, shapes, global_root, GLOBAL_GROUPS)

    def _load(self, number: int, root: bytes, shapes: Shapes) -> GlobalState | None:
        try:
            found = self._shaped(shapes).load(self.path(number))
        except TensorFileError as error:
            log.warning("a kept global state is unusable", round=number, reason=error.message)
            return None
        if found.root != root:
            return None
        return GlobalState(dict(found.groups["weights"]), dict(found.groups["velocity"]))


def _grouped(shapes: Shapes) -> dict[str, tuple[int, ...]]:
    return {f"{group}/{name}": shape for group in GLOBAL_GROUPS for name, shape in shapes.items()}


def _groups(tensors: Tensors) -> dict[str, Tensors]:
    groups: dict[str, Tensors] = {group: {} for group in GLOBAL_GROUPS}
    for name, tensor in tensors.items():
        group, _, rest = name.partition("/")
        groups[group][rest] = tensor
    return groups
