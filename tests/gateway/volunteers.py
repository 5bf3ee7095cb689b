"""What a volunteer does, over HTTP and with real training."""

from __future__ import annotations

import base64
import hashlib
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from consensus.commitments.batch import batch_root
from consensus.commitments.tensors import state_root
from consensus.commitments.trace import StepLeaf, loss_bits
from consensus.training.outer import update_of
from consensus.training.step import TrainState
from node.gateway import wire
from node.gateway.auth import key_hash, work_bits
from node.gateway.payload import encode_payload
from node.gateway.schemas import UploadMeta
from node.storage.tensorfile import load_tensors
from node.training.work import Workshop

API = "/api/v1"


def new_key() -> str:
    """An API key."""
    return "pv1_" + base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip("=")


def solve(challenge: dict[str, Any], api_key: str) -> int:
    """A nonce that does the work."""
    value, nonce = bytes.fromhex(challenge["challenge"]), 0
    while work_bits(value, key_hash(api_key), nonce) < challenge["difficulty"]:
        nonce += 1
    return nonce


@dataclass
class Person:
    """A volunteer with a token. `api`: an httpx client of the gateway."""

    api: Any
    key: str
    worker_id: str
    token: str

    @property
    def headers(self) -> dict[str, str]:
        """Of authorised calls."""
        return {"authorization": f"Bearer {self.token}"}

    def get(self, path: str, **headers: str) -> Any:
        """GET below the prefix, or of a whole path."""
        return self.api.get(_whole(path), headers={**self.headers, **headers})

    def post(self, path: str, body: Any = None) -> Any:
        """POST of JSON."""
        return self.api.post(_whole(path), json=body, headers=self.headers)

    def request(self, **body: Any) -> dict[str, Any]:
        """An offer."""
        answer = self.post("/batch/request", body)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def train(self, shop: Workshop, offer: dict[str, Any], folder: Path) -> bytes:
        """The whole body of an upload, after really training the batch from the real download."""
        model = self.get(f"/model/download/{offer['model_version']}")
        path = folder / f"{offer['model_version']}.safetensors"
        path.write_bytes(model.content)
        start = load_tensors(path, shop.config.shapes()).tensors
        shape = (offer["steps"], shop.config.batch, shop.config.seq_len + 1)
        text = np.frombuffer(self.get(offer["data_url"]).content, dtype="<u2").reshape(shape).astype(np.int32)
        state, leaves = TrainState.start(start), []
        for step, tokens in enumerate(text):
            loss = shop.trainer.step(state, torch.from_numpy(tokens))
            root = state_root(state.weights, state.m, state.v)
            leaves.append(StepLeaf(root, batch_root(tokens), loss_bits(loss), step))
        return self.body(offer, leaves, encode_payload(offer["codec"], update_of(start, state.weights)))

    def body(self, offer: dict[str, Any], leaves: list[StepLeaf], payload: bytes, **changes: Any) -> bytes:
        """An upload's bytes."""
        meta = UploadMeta.model_validate(
            {
                "worker_id": self.worker_id,
                "batch_id": offer["batch_id"],
                "lease_id": offer["lease_id"],
                "model_version": offer["model_version"],
                "codec": offer["codec"],
                "loss": wire.mean_loss(leaves),
                "num_samples": offer["num_samples"],
                "leaves": [wire.wire_leaf(leaf) for leaf in leaves],
                "payload_sha256": hashlib.sha256(payload).hexdigest(),
                "payload_size": len(payload),
                **changes,
            }
        )
        out = io.BytesIO()
        wire.write_upload(out, meta, payload)
        return out.getvalue()

    def upload(self, body: bytes) -> Any:
        """POST /gradients/upload"""
        headers = {**self.headers, "content-type": wire.MEDIA_TYPE}
        return self.api.post(f"{API}/gradients/upload", content=body, headers=headers)


def enrol(api: Any, **body: Any) -> Person:
    """Register and log in."""
    key = new_key()
    challenge = api.get(f"{API}/auth/challenge").json()
    asked = {"api_key": key, "ticket": challenge["ticket"], "nonce": solve(challenge, key), **body}
    made = api.post(f"{API}/auth/register", json=asked)
    assert made.status_code == 201, made.text
    session = api.post(f"{API}/auth/login", json={"api_key": key})
    assert session.status_code == 200, session.text
    return Person(api, key, made.json()["worker_id"], session.json()["token"])


def _whole(path: str) -> str:
    return path if path.startswith(API) else API + path
