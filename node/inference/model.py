"""The weights that are served: a network's newest state in a node's home, a file, or a network's start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from consensus.commitments.tensors import global_root, tensor_set_root
from consensus.model.config import PRESETS, ModelConfig
from consensus.model.init import init_weights
from governance.activation import History, Version
from node.errors import CheckpointError
from node.inference.text import Tokenizer, tokenizer_of
from node.storage.checkpoints import GLOBAL_GROUPS, CheckpointStore, Loaded
from node.storage.errors import NoCheckpointError, TensorFileError
from node.storage.tensorfile import Tensors, load_tensors
from node.training.tools import STATES_NAME
from node.training.work import GENESIS_SEED


@dataclass(frozen=True)
class Model:
    """What answers. `root` (32 bytes) is the tensor set's root over the weights, `velocity_root` that of the outer
    velocity beside them in the global state (of zeros where there is none); `origin` says where they are from."""

    name: str
    config: ModelConfig
    weights: Tensors
    root: bytes
    tokenizer: Tokenizer
    origin: str
    velocity_root: bytes


BYTES = History()[0]
"""Version 0 of the vocabulary."""


def load_model(
    preset: str, home: Path | None = None, state: Path | None = None, versions: Sequence[Version] = (BYTES,)
) -> Model:
    """The weights of `state` if given, else the newest global state in `home`, else the start of a network.

    `versions`: of the vocabulary, the likeliest first; the model's shapes say which of them it speaks.

    Raises:
        TensorFileError, NoCheckpointError: the file is not a state of this preset. DiskError: it cannot be read.
    """
    base = PRESETS[preset]
    if state is not None:
        return _from_file(base, state, versions)
    if home is not None:
        version, found = _newest(base, home, versions)
        if found is not None:
            start = f"the state that round {found.checkpoint.round} starts from"
            groups = found.checkpoint.groups
            config, weights = sized(base, version), dict(groups["weights"])
            return model_of(config, weights, start, version, dict(groups["velocity"]))
    return model_of(base, init_weights(base, GENESIS_SEED), "the start of a network")


def model_of(
    config: ModelConfig, weights: Tensors, origin: str, version: Version = BYTES, velocity: Tensors | None = None
) -> Model:
    """A model of these weights, which speaks a version of the vocabulary."""
    beside = velocity or {name: torch.zeros_like(tensor) for name, tensor in weights.items()}
    roots = tensor_set_root(weights), tensor_set_root(beside)
    return Model(f"ponw-{config.name}", config, weights, roots[0], tokenizer_of(version), origin, roots[1])


def sized(base: ModelConfig, version: Version) -> ModelConfig:
    """A preset's shape in a version; layers that are still young there have the shapes of any."""
    return version.config(base)


def _from_file(base: ModelConfig, state: Path, versions: Sequence[Version]) -> Model:
    refused: TensorFileError | None = None
    for version in versions:
        config = sized(base, version)
        try:
            return model_of(config, _read(state, config), str(state), version)
        except TensorFileError as error:
            refused = refused or error
    raise refused or CheckpointError(f"{state} holds no weights of preset {base.name}.", "Check the preset.")


def _newest(base: ModelConfig, home: Path, versions: Sequence[Version]) -> tuple[Version, Loaded | None]:
    """The newest state that any version reads; versions differ in their rows, so one state is one's only."""
    chosen: tuple[Version, Loaded | None] = (versions[0], None)
    damaged: NoCheckpointError | None = None
    for version in versions:
        shapes = sized(base, version).shapes()
        try:
            found = CheckpointStore(home / STATES_NAME, shapes, global_root, GLOBAL_GROUPS).load_latest()
        except NoCheckpointError as error:
            damaged = damaged or error
            continue
        best = chosen[1]
        if found is not None and (best is None or found.checkpoint.round > best.checkpoint.round):
            chosen = (version, found)
    if chosen[1] is None and damaged is not None:
        raise damaged
    return chosen


def _read(path: Path, config: ModelConfig) -> Tensors:
    """Weights from a file of weights alone, or of a global or training state."""
    shapes = config.shapes()
    refused: TensorFileError | None = None
    for groups in ((), GLOBAL_GROUPS, ("weights", "m", "v")):
        expected = {f"{group}/{name}": shape for group in groups for name, shape in shapes.items()} or shapes
        try:
            tensors = load_tensors(path, expected).tensors
        except TensorFileError as error:
            refused = refused or error
            continue
        except FileNotFoundError as error:
            raise CheckpointError(f"There is no file {path}.", "Check the spelling of the path.") from error
        return {name.removeprefix("weights/"): t for name, t in tensors.items() if not groups or "weights/" in name}
    raise refused or CheckpointError(f"{path} holds no weights of preset {config.name}.", "Check the preset.")
