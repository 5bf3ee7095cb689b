"""Whole checkpoints from the stages that members hold: members serve theirs, the leader fetches and joins them.

What a member sends is checked twice: each file against the root that it was offered under, while it arrives, and the
whole state against the root of the step's leaf, which the quorum agreed on while it trained.
"""

from __future__ import annotations

import shutil
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from consensus.commitments.tensors import state_root
from consensus.pipeline.stages import Stage
from node.net.catalogue import Catalogue
from node.net.frames import FrameSocket
from node.net.transfer import fetch, refusal, same_versions, serve
from node.net.transfer_types import Wanted
from node.net.wire.common_pb2 import Refusal, Versions
from node.net.wire.stages_pb2 import StageFile, StagesAnswer, StagesWanted
from node.paths import private_folder
from node.quorum.errors import QuorumError
from node.storage.checkpoints import TRAIN_GROUPS, Checkpoint, CheckpointStore
from node.storage.tensorfile import Shapes, Tensors, largest_file

PROTOCOL: Final = "/ponw/stages/1"
MESSAGE_BYTES: Final = 8 << 10
FILES_MAX: Final = 64
ANSWER_SECONDS: Final = 60.0
"""For a member to hash its files and say what it has."""

Part = Mapping[int, Path]
"""A member's checkpoint files by step."""


class AssemblyError(QuorumError):
    """A member did not give its part, or the parts do not make up the state that was agreed on."""


def serve_stages(stream: socket.socket, peer: str, versions: Versions, store: CheckpointStore) -> None:
    """Answer one request of the leader, then its fetches, until it closes the stream.

    Raises:
        FrameError, SilentError: what the peer sent is no such request, or it is gone. DiskError.
    """
    frames = FrameSocket(stream, peer)
    wanted = frames.receive(StagesWanted, MESSAGE_BYTES, ANSWER_SECONDS)
    judge = same_versions(versions)
    objection = judge(wanted.versions)
    files = [(step, store.path(number, step)) for number, step in store.saved() if number == wanted.round]
    if objection is None and not files:
        objection = refusal(Refusal.NOT_FOUND, f"Nothing of round {wanted.round} is here.")
    if objection is not None:
        frames.send(StagesAnswer(refusal=objection), ANSWER_SECONDS)
        return
    catalogue = Catalogue()
    offered = []
    for step, path in files[-FILES_MAX:]:
        root = catalogue.add_file(path)
        source = catalogue.find(root)
        offered.append(StageFile(step=step, root=root, size=0 if source is None else source.size))
    frames.send(StagesAnswer(files=offered), ANSWER_SECONDS)
    serve(stream, catalogue, judge, peer=peer)


def fetch_stages(
    stream: socket.socket, peer: str, versions: Versions, number: int, shapes: Shapes, folder: Path
) -> dict[int, Path]:
    """Every checkpoint file of one member's stage of a round, by step, in `folder`. `shapes` of the stage's tensors.

    Raises:
        AssemblyError: the member has none, or offers what no stage can have.
        PeerError: it breaks off or lies; what arrived is kept for the next try. DiskError.
    """
    frames = FrameSocket(stream, peer)
    frames.send(StagesWanted(versions=versions, round=number), ANSWER_SECONDS)
    answer = frames.receive(StagesAnswer, MESSAGE_BYTES, ANSWER_SECONDS)
    if answer.HasField("refusal"):
        raise AssemblyError(f"{peer}: {answer.refusal.reason[:400]}", "The round goes on without the quorum.")
    most = largest_file({f"{group}/{name}": shape for group in TRAIN_GROUPS for name, shape in shapes.items()})
    steps = [offered.step for offered in answer.files]
    if not 1 <= len(steps) <= FILES_MAX or len(set(steps)) != len(steps) or any(f.size > most for f in answer.files):
        raise AssemblyError(f"{peer} offers checkpoints that no stage can have.", "The quorum goes on without it.")
    private_folder(folder)
    found = {}
    for offered in answer.files:
        target = folder / CheckpointStore.name(number, offered.step)
        fetch(stream, Wanted(offered.root, most, offered.size), target, versions, peer=peer)
        found[offered.step] = target
    return found


def join(
    parts: Sequence[Part], stages: Sequence[Stage], shapes: Shapes, roots: Mapping[int, bytes], into: CheckpointStore
) -> None:
    """Save whole checkpoints of one round for every step that `roots` names and all parts have.

    `parts` in the order of `stages`; `shapes` of the whole model; `roots`: state root by steps taken, from the leaves.

    Raises:
        AssemblyError: a part is missing, or the state has another root than was agreed on.
        TensorFileError: a part is damaged or holds other tensors. DiskError.
    """
    for step, root in roots.items():
        groups: dict[str, Tensors] = {group: {} for group in TRAIN_GROUPS}
        number = 0
        for part, stage in zip(parts, stages, strict=True):
            if step not in part:
                raise AssemblyError(f"Layers {list(stage.layers)} of step {step} are missing.", "The round is lost.")
            number = _add(groups, part[step], {n: s for n, s in shapes.items() if stage.holds(n)})
        whole = {group: dict(sorted(tensors.items())) for group, tensors in groups.items()}
        if state_root(whole["weights"], whole["m"], whole["v"]) != root:
            raise AssemblyError(
                f"The parts of step {step} are not the state that was agreed on.", "A member sent another part."
            )
        into.save(Checkpoint(number, step, root, whole))


def _add(groups: dict[str, Tensors], path: Path, shapes: Shapes) -> int:
    checkpoint = CheckpointStore(path.parent, shapes, state_root).load(path)
    for group, tensors in groups.items():
        tensors.update(checkpoint.groups[group])
    return checkpoint.round


def clear(folder: Path) -> None:
    """Remove what was fetched; nothing happens where there is none."""
    if folder.is_dir():
        shutil.rmtree(folder)
