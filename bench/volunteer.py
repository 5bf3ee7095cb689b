"""What volunteers upload, and what it costs the model: `make bench-volunteer` writes bench/results/volunteer.json.

Volunteers train from each version in turn; the gateway's own rules (weighted mean, FedAvg) join what their payloads
decode to into the next version. Every encoding runs on the same batches from the same start, so that all that differs
is what the encoding loses. Bytes are those of whole upload bodies after zstd, header and leaves included; `loss` is on
held-out text.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from consensus.aggregation import Contributions, Mean
from consensus.aggregation.compression import ErrorFeedback
from consensus.arithmetic import choose_engine, set_threads
from consensus.commitments.trace import StepLeaf
from consensus.model.config import PRESETS, ModelConfig
from consensus.model.init import init_weights
from consensus.training.federated import FedAvg, ServerState
from consensus.training.outer import update_of
from consensus.training.step import TrainState
from node.data.corpus import ensure_default
from node.gateway import wire
from node.gateway.payload import CODECS, decode_payload, encode_payload
from node.gateway.schemas import CodecName, UploadMeta
from node.training.work import GENESIS_SEED, Task, Workshop

RESULTS = Path(__file__).parent / "results" / "volunteer.json"
MODELS = {
    "tiny": PRESETS["tiny"],
    "micro": ModelConfig("micro", layers=2, width=64, heads=2, seq_len=64, batch=8),
}
CASES: tuple[tuple[CodecName, bool], ...] = (
    ("raw", False),
    ("fourlevel", True),
    ("fourlevel", False),
    ("int8", False),
    ("twobit", True),
    ("topk", True),
    ("topk", False),
)
"""(encoding, whether error feedback carries over)."""
_ID = "00000000-0000-4000-8000-000000000000"


@dataclass
class Uploader:
    """One volunteer's side of an encoding."""

    codec: CodecName
    carried: bool
    left: ErrorFeedback | None = None
    sent: int = 0

    def payload(self, update: dict[str, Tensor], leaves: list[StepLeaf], samples: int) -> bytes:
        """The payload of an update; counts the bytes of the whole body."""
        data = self._encoded(update)
        meta = UploadMeta(
            worker_id=_ID,
            batch_id=_ID,
            lease_id=_ID,
            model_version="v0",
            codec=self.codec,
            loss=wire.mean_loss(leaves),
            num_samples=samples,
            leaves=[wire.wire_leaf(leaf) for leaf in leaves],
            payload_sha256=hashlib.sha256(data).hexdigest(),
            payload_size=len(data),
        )
        body = io.BytesIO()
        wire.write_upload(body, meta, data)
        self.sent += len(body.getvalue())
        return data

    def _encoded(self, update: dict[str, Tensor]) -> bytes:
        if self.codec == "raw" or not self.carried:
            return encode_payload(self.codec, update)
        done = (self.left or ErrorFeedback.start(update)).send(CODECS[self.codec], update)
        self.left = done.feedback
        return done.data


def run(shop: Workshop, codec: CodecName, carried: bool, size: tuple[int, int, int]) -> dict[str, Any]:
    """All aggregations of one encoding. `size`: volunteers, aggregations, steps of a batch."""
    volunteers, aggregations, steps = size
    shapes, samples = shop.config.shapes(), steps * shop.config.batch
    state = ServerState.start(init_weights(shop.config, GENESIS_SEED))
    people = [Uploader(codec, carried) for _ in range(volunteers)]
    losses: list[float] = []
    for number in range(aggregations):
        updates: list[tuple[int, Mapping[str, Tensor]]] = []
        for who, person in enumerate(people):
            own = TrainState.start(dict(state.weights))
            leaves = list(shop.steps(own, Task(bytes([number]) * 32, bytes([who]) * 20), steps))
            payload = person.payload(update_of(state.weights, own.weights), leaves, samples)
            updates.append((1, decode_payload(codec, payload, shapes)))
        joined = Mean()(Contributions.of(updates, shapes))
        state = FedAvg()(shop.engine, state, joined)
        losses.append(shop.heldout_loss(dict(state.weights)))
    uploads = volunteers * aggregations
    return {
        "codec": codec,
        "error_feedback": carried,
        "loss": losses[-1],
        "losses": [round(loss, 5) for loss in losses],
        "bytes_an_upload": sum(person.sent for person in people) // uploads,
    }


def compare(cases: list[dict[str, Any]], raw_bytes: int) -> None:
    """Add what each encoding costs against `raw`, the first."""
    for case in cases:
        case["share_of_raw"] = round(case["bytes_an_upload"] / raw_bytes, 4)
        case["loss_against_raw"] = round(case["loss"] / cases[0]["loss"] - 1, 5)


def measure(
    model: ModelConfig, size: tuple[int, int, int], cases: tuple[tuple[CodecName, bool], ...]
) -> dict[str, Any]:
    """Every case on one model; the first must be `raw`."""
    with tempfile.TemporaryDirectory() as scratch:
        shop = Workshop(model, choose_engine(), ensure_default(Path(scratch) / "data"))
        start = shop.heldout_loss(init_weights(model, GENESIS_SEED))
        done: list[dict[str, Any]] = []
        for codec, carried in cases:
            done.append(run(shop, codec, carried, size))
            compare(done, 4 * model.parameters)
            one = done[-1]
            words = f"{codec}{' with error feedback' if carried else ''}"
            share, against = one["share_of_raw"], one["loss_against_raw"]
            print(f"{words}: {share:.2%} of the bytes, loss {one['loss']:.4f} ({against:+.2%})", flush=True)
    volunteers, aggregations, steps = size
    return {
        "model": model.name,
        "parameters": model.parameters,
        "volunteers": volunteers,
        "aggregations": aggregations,
        "steps": steps,
        "start_loss": start,
        "raw_bytes": 4 * model.parameters,
        "cases": done,
    }


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=sorted(MODELS), default="micro")
    parser.add_argument("--volunteers", type=int, default=4)
    parser.add_argument("--aggregations", type=int, default=10)
    parser.add_argument("--steps", type=int, default=16, help="steps of a batch (default 16)")
    parser.add_argument("--threads", type=int, default=0)
    options = parser.parse_args()
    set_threads(options.threads)
    size = (options.volunteers, options.aggregations, options.steps)
    results = measure(MODELS[options.model], size, CASES)
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
