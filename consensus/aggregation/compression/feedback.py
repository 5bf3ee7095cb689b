"""What a lossy encoding left out goes into the next one (Seide et al. 2014; Karimireddy et al. 2019, "Error feedback
fixes SignSGD and other gradient compression schemes")."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from consensus.aggregation.compression.codec import Codec, decode_update, encode_update


@dataclass(frozen=True, slots=True)
class Sent:
    """``data``: the encoding. ``update``: what every receiver decodes. ``feedback``: for the next round."""

    data: bytes
    update: dict[str, Tensor]
    feedback: "ErrorFeedback"


@dataclass(frozen=True, slots=True)
class ErrorFeedback:
    """A sender's memory: what its encodings have left out so far, fp32 by name."""

    left: Mapping[str, Tensor]

    @classmethod
    def start(cls, update: Mapping[str, Tensor]) -> "ErrorFeedback":
        """Nothing left out yet."""
        return cls({name: torch.zeros_like(t) for name, t in update.items()})

    def send(self, codec: Codec, update: Mapping[str, Tensor]) -> Sent:
        """Encodes the update with what was left out before. Raises CompressionError on a value that is not finite."""
        due = {name: t + self.left[name] for name, t in update.items()}
        data = encode_update(codec, due)
        decoded = decode_update(codec, data, {name: tuple(t.shape) for name, t in due.items()})
        return Sent(data, decoded, ErrorFeedback({name: t - decoded[name] for name, t in due.items()}))
