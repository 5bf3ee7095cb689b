"""The weights that are served: a network's newest state in a node's home, a file, or a network's start."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from consensus.commitments.tensors import global_root, tensor_set_root
from consensus.model.config import PRESETS, ModelConfig
from consensus.model.init import init_weights
from node.errors import CheckpointError
from node.inference.text import ByteTokenizer, Tokenizer
from node.storage.checkpoints import GLOBAL_GROUPS, CheckpointStore
from node.storage.errors import TensorFileError
from node.storage.tensorfile import Tensors, load_tensors
from node.training.tools import STATES_NAME
from node.training.work import GENESIS_SEED


@dataclass(frozen=True)
class Model:
    """What answers. `root` (32 bytes) is the tensor set's root over the weights; `origin` says where they are from."""

    name: str
    config: ModelConfig
    weights: Tensors
    root: bytes
    tokenizer: Tokenizer
    origin: str


def load_model(preset: str, home: Path | None = None, state: Path | None = None) -> Model:
    """The weights of `state` if given, else the newest global state in `home`, else the start of a network.

    Raises:
        TensorFileError, NoCheckpointError: the file is not a state of this preset. DiskError: it cannot be read.
    """
    config = PRESETS[preset]
    if state is not None:
        return model_of(config, _read(state, config), str(state))
    if home is not None:
        states = CheckpointStore(home / STATES_NAME, config.shapes(), global_root, GLOBAL_GROUPS)
        found = states.load_latest()
        if found is not None:
            start = f"the state that round {found.checkpoint.round} starts from"
            return model_of(config, dict(found.checkpoint.groups["weights"]), start)
    return model_of(config, init_weights(config, GENESIS_SEED), "the start of a network")


def model_of(config: ModelConfig, weights: Tensors, origin: str) -> Model:
    """A model of these weights, with the vocabulary of bytes."""
    return Model(f"ponw-{config.name}", config, weights, tensor_set_root(weights), ByteTokenizer(), origin)


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
