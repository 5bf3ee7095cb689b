"""A gateway small enough to misbehave on purpose: one model, batches on demand, every upload recomputed."""

from __future__ import annotations

import hashlib
import io
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from fastapi import FastAPI, Request, Response, WebSocket, WebSocketDisconnect
from fastapi.responses import JSONResponse

from consensus.aggregation.compression import ErrorFeedback
from consensus.arithmetic.reference import Reference
from consensus.model.config import ModelConfig
from consensus.model.init import init_weights
from consensus.training.outer import update_of
from consensus.training.step import Trainer, TrainState
from node.gateway import schemas, wire
from node.gateway.payload import CODECS, encode_payload, raw_bytes, tensors_hash, zero_hash
from node.training.step import committed_step

MICRO = ModelConfig("micro", layers=1, width=16, heads=2, seq_len=32, batch=4, vocab=64)
Fault = Callable[[Request], Response | None]


@dataclass
class Lease:
    """A batch that somebody has."""

    offer: schemas.BatchOffer
    worker: str
    tokens: np.ndarray[Any, Any]
    receipt: schemas.Receipt | None = None


@dataclass
class SmallGateway:
    """State of the server; tests read and change it."""

    steps: int = 4
    codec: str = "topk"
    residual: str = "zero"
    checkpoints: tuple[int, ...] = ()
    difficulty: int = 8
    audit: bool = False
    config: ModelConfig = MICRO
    fault: Fault = lambda _request: None
    keys: dict[str, str] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=set)
    leases: dict[str, Lease] = field(default_factory=dict)
    residuals: dict[str, str] = field(default_factory=dict)
    seen: list[tuple[str, str, str]] = field(default_factory=list)
    """(method, path, Range) of every request."""
    states: dict[int, bytes] = field(default_factory=dict)
    beats: list[schemas.Beat] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    uploads: int = 0
    """Bodies that arrived whole."""
    most: int = 100
    """Batches there are."""

    def __post_init__(self) -> None:
        self.weights = init_weights(self.config, b"seam")
        self.file = raw_bytes(self.weights)
        self.sha = hashlib.sha256(self.file).hexdigest()

    @property
    def counted(self) -> list[Lease]:
        """Leases whose upload was taken."""
        return [lease for lease in self.leases.values() if lease.receipt is not None]

    def asked(self, path: str) -> list[str]:
        """Range headers of the requests for a path."""
        return [held for _, at, held in self.seen if at.endswith(path)]

    def model(self) -> schemas.Model:
        """Its one version."""
        c = self.config
        shape = schemas.Architecture(
            name=c.name, layers=c.layers, width=c.width, heads=c.heads, seq_len=c.seq_len, batch=c.batch, vocab=c.vocab
        )
        return schemas.Model(
            version="v0",
            number=0,
            parent=None,
            source="genesis",
            architecture=shape,
            num_parameters=c.parameters,
            root="00" * 32,
            sha256=self.sha,
            size=len(self.file),
            url="/api/v1/model/download/v0",
            active=True,
            created_at=0,
            metrics={},
        )

    def lease(self, worker: str) -> Lease | None:
        """The lease that a worker holds, or a new one."""
        for lease in self.leases.values():
            if lease.worker == worker and lease.receipt is None:
                return lease
        if len(self.leases) >= self.most:
            return None
        c, batch = self.config, str(uuid.uuid4())
        draw = np.random.default_rng(len(self.leases))
        tokens = draw.integers(0, c.vocab, (self.steps, c.batch, c.seq_len + 1)).astype("<u2")
        offer = schemas.BatchOffer(
            batch_id=batch,
            lease_id=str(uuid.uuid4()),
            model_version="v0",
            data_url=f"/api/v1/batch/{batch}/data",
            data_sha256=hashlib.sha256(tokens.tobytes()).hexdigest(),
            num_samples=self.steps * c.batch,
            steps=self.steps,
            codec=self.codec,  # type: ignore[arg-type]
            residual=self.residual,  # type: ignore[arg-type]
            checkpoints=list(self.checkpoints),
            expires_at=int(time.time()) + 600,
        )
        self.leases[batch] = Lease(offer, worker, tokens)
        return self.leases[batch]

    def honest(self, lease: Lease) -> tuple[dict[str, torch.Tensor], list[schemas.Leaf]]:
        """(update, leaves) of a batch, computed here."""
        state, trainer = TrainState.start(self.weights), Trainer(self.config, Reference())
        leaves = [
            wire.wire_leaf(committed_step(trainer, state, torch.from_numpy(rows.astype(np.int32))))
            for rows in lease.tokens
        ]
        return update_of(self.weights, state.weights), leaves

    def take(self, worker: str, body: bytes) -> Response:
        """An upload."""
        file = io.BytesIO(body)
        meta = wire.read_meta(file)
        payload = bytes(wire.read_payload(file, meta, self.config.shapes()))
        self.uploads += 1
        lease = self.leases.get(meta.batch_id)
        if lease is None or lease.worker != worker or lease.offer.lease_id != meta.lease_id:
            return problem(409, "lease-ended", "The lease has ended.")
        if lease.receipt is not None:
            return JSONResponse(lease.receipt.model_dump())
        update, leaves = self.honest(lease)
        if leaves != meta.leaves:
            return problem(422, "upload-mismatch", "The leaves are not those of the batch.")
        if self.residual == "zero" and payload != encode_payload(meta.codec, update):
            return problem(422, "upload-mismatch", "The payload is not that of the batch.")
        if self.residual == "carried":
            allowed = {self.residuals.get(worker), zero_hash(self.config.shapes()).hex()}
            if meta.residual_in not in allowed or meta.residual_out is None:
                return problem(422, "upload-mismatch", "The residual is not that of the upload before.")
            self.residuals[worker] = meta.residual_out
        lease.receipt = schemas.Receipt(
            update_id=str(uuid.uuid4()), state="held" if self.audit else "accepted", reveal_residual=self.audit
        )
        self.pending = (update, payload, meta)
        return JSONResponse(lease.receipt.model_dump())

    def audited(self, update_id: str, packed: bytes) -> Response:
        """A residual, from which payload and next residual must follow."""
        update, payload, meta = self.pending
        shapes = self.config.shapes()
        size = len(raw_bytes({n: torch.zeros(s) for n, s in shapes.items()}))
        from node.gateway.payload import read_raw

        left = read_raw(memoryview(wire.read_zstd(io.BytesIO(packed), size)), shapes)
        sent = ErrorFeedback(left).send(CODECS[meta.codec], update)
        right = (
            tensors_hash(left).hex() == meta.residual_in
            and sent.data == payload
            and tensors_hash(sent.feedback.left).hex() == meta.residual_out
        )
        receipt = schemas.Receipt(update_id=update_id, state="accepted" if right else "rejected")
        for lease in self.leases.values():
            if lease.receipt is not None and lease.receipt.update_id == update_id:
                lease.receipt = receipt
        return JSONResponse(receipt.model_dump())


def problem(status: int, code: str, detail: str, **headers: str) -> Response:
    """A refusal."""
    body = schemas.Problem(type="", title=code, status=status, detail=detail, code=code)
    return JSONResponse(body.model_dump(), status, headers, "application/problem+json")


def small_app(gateway: SmallGateway) -> FastAPI:
    """Its API."""
    app = FastAPI()

    def worker(request: Request) -> str | None:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        return token.partition(":")[0] if token in gateway.tokens else None

    @app.middleware("http")
    async def watch(request: Request, call: Any) -> Response:
        gateway.seen.append((request.method, request.url.path, request.headers.get("range", "")))
        open_paths = ("/auth/", "/model/current", "/model/versions", "/stats/", "/leaderboard")
        if not any(part in request.url.path for part in open_paths) and worker(request) is None:
            return problem(401, "bad-token", "Log in.")
        found: Response = gateway.fault(request) or await call(request)
        return found

    @app.get("/api/v1/auth/challenge")
    def challenge() -> schemas.Challenge:
        return schemas.Challenge(challenge="ab" * 32, ticket="t", difficulty=gateway.difficulty, expires_at=1 << 40)

    @app.post("/api/v1/auth/register")
    def register(body: schemas.Register) -> Response:
        key = hashlib.sha256(body.api_key.encode()).digest()
        digest = hashlib.sha256(bytes.fromhex("ab" * 32) + key + body.nonce.to_bytes(8, "big")).digest()
        if int.from_bytes(digest, "big") >> (256 - gateway.difficulty):
            return problem(403, "proof-of-work-missing", "No work.")
        gateway.keys.setdefault(body.api_key, str(uuid.uuid4()))
        made = schemas.Registered(worker_id=gateway.keys[body.api_key], username=body.username or "anon", created_at=0)
        return JSONResponse(made.model_dump())

    @app.post("/api/v1/auth/login")
    def login(body: schemas.Login) -> Response:
        if body.api_key not in gateway.keys:
            return problem(401, "unknown-api-key", "Register first.")
        token = f"{gateway.keys[body.api_key]}:{uuid.uuid4()}"
        gateway.tokens.add(token)
        found = schemas.Session(token=token, worker_id=gateway.keys[body.api_key], expires_at=int(time.time()) + 3600)
        return JSONResponse(found.model_dump())

    @app.get("/api/v1/model/current")
    def current() -> schemas.Model:
        return gateway.model()

    @app.get("/api/v1/model/download/{version}")
    def download(request: Request) -> Response:
        return _ranged(request, gateway.file, gateway.sha)

    @app.post("/api/v1/batch/request")
    def ask(request: Request, body: schemas.BatchRequest) -> Response:
        lease = gateway.lease(worker(request) or "")
        if lease is None:
            return problem(503, "no-work", "There is no work.", **{"retry-after": "1"})
        return JSONResponse(lease.offer.model_dump())

    @app.post("/api/v1/batch/{batch}/release")
    def release(batch: str) -> dict[str, Any]:
        del gateway.leases[batch]
        return {}

    @app.get("/api/v1/batch/{batch}/data")
    def data(batch: str, request: Request) -> Response:
        lease = gateway.leases[batch]
        return _ranged(request, lease.tokens.tobytes(), lease.offer.data_sha256)

    @app.put("/api/v1/batch/{batch}/checkpoint/{step}")
    async def state(step: int, request: Request) -> dict[str, Any]:
        gateway.states[step] = await request.body()
        return {}

    @app.post("/api/v1/gradients/upload")
    async def upload(request: Request) -> Response:
        return gateway.take(worker(request) or "", await request.body())

    @app.put("/api/v1/gradients/{update}/residual")
    async def residual(update: str, request: Request) -> Response:
        return gateway.audited(update, await request.body())

    @app.get("/api/v1/gradients/{update}")
    def receipt(update: str) -> Response:
        for lease in gateway.counted:
            if lease.receipt is not None and lease.receipt.update_id == update:
                return JSONResponse(lease.receipt.model_dump())
        return problem(404, "unknown-update", "No such update.")

    @app.get("/api/v1/stats/global")
    def stats() -> schemas.GlobalStats:
        return _stats()

    @app.get("/api/v1/leaderboard")
    def board() -> list[schemas.LeaderRow]:
        return [schemas.LeaderRow(rank=1, username="ada", batches=1, tokens=2, reputation=5000, badges=[])]

    @app.get("/api/v1/worker/stats")
    def mine(request: Request) -> schemas.WorkerStats:
        who = worker(request) or ""
        done = sum(lease.worker == who for lease in gateway.counted)
        return schemas.WorkerStats(
            worker_id=who,
            username="ada",
            batches=done,
            rejected=0,
            tokens=done * gateway.steps * gateway.config.tokens_per_step,
            reputation=5000,
            rank=1,
            badges=[],
            quarantined_until=None,
            quarantine_reason="",
            recent=[],
        )

    @app.websocket("/api/v1/ws/status")
    async def live(socket: WebSocket) -> None:
        await socket.accept()
        try:
            await socket.receive_text()
            while True:
                gateway.beats.append(schemas.Beat.model_validate_json(await socket.receive_text()))
                while gateway.events:
                    await socket.send_json(gateway.events.pop(0))
        except WebSocketDisconnect:
            return

    return app


def _stats() -> schemas.GlobalStats:
    return schemas.GlobalStats(
        version="v0",
        active_workers=1,
        total_workers=1,
        batches_completed=0,
        batches_pending=0,
        tokens=0,
        tokens_per_s=0,
        heldout_loss=None,
        loss_history=[],
        aggregations=0,
        idle_reason="",
        at=0,
    )


def _ranged(request: Request, data: bytes, sha: str) -> Response:
    held = request.headers.get("range", "")
    headers = {"etag": f'"{sha}"', "accept-ranges": "bytes"}
    if held and request.headers.get("if-range") == f'"{sha}"':
        start = int(held.removeprefix("bytes=").rstrip("-"))
        headers["content-range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        return Response(data[start:], 206, headers, "application/octet-stream")
    return Response(data, 200, headers, "application/octet-stream")


@contextmanager
def serving(gateway: SmallGateway, port: int = 0) -> Iterator[str]:
    """Serve on loopback; gives the URL."""
    import socket as sockets
    import threading

    import uvicorn

    listener = sockets.create_server(("127.0.0.1", port))
    config = uvicorn.Config(small_app(gateway), log_config=None, lifespan="off", ws="websockets-sansio")
    config.timeout_graceful_shutdown = 1
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()
