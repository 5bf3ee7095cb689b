"""The upload's body: what is written is read, and nothing else is, in bounded memory."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import pytest
import torch
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from consensus.commitments.trace import StepLeaf, loss_bits
from consensus.errors import CompressionError
from node.gateway import wire
from node.gateway.payload import decode_payload, encode_payload, payload_size, raw_bytes, tensors_hash, zero_hash
from node.gateway.schemas import META_LIMIT, UploadMeta
from node.storage.tensorfile import load_tensors

SHAPES = {"embed": (33, 16), "head": (8, 16), "layer000.attn_in": (48, 16)}
ID = "00000000-0000-4000-8000-000000000000"


def update(seed: int = 1) -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=draw) for name, shape in SHAPES.items()}


def leaves(count: int = 3) -> list[StepLeaf]:
    return [StepLeaf(bytes([i]) * 32, bytes([i + 1]) * 32, loss_bits(1.5 + i), i) for i in range(count)]


def meta(payload: bytes, codec: str = "topk", **changes: object) -> UploadMeta:
    fields = {
        "worker_id": ID,
        "batch_id": ID,
        "lease_id": ID,
        "model_version": "v0",
        "codec": codec,
        "loss": wire.mean_loss(leaves()),
        "num_samples": 24,
        "leaves": [wire.wire_leaf(leaf) for leaf in leaves()],
        "payload_sha256": hashlib.sha256(payload).hexdigest(),
        "payload_size": len(payload),
    }
    return UploadMeta.model_validate({**fields, **changes})


def body(payload: bytes, head: UploadMeta) -> bytes:
    file = io.BytesIO()
    wire.write_upload(file, head, payload)
    return file.getvalue()


def read(data: bytes) -> tuple[UploadMeta, bytearray]:
    file = io.BytesIO(data)
    head = wire.read_meta(file)
    return head, wire.read_payload(file, head, SHAPES)


@pytest.mark.parametrize("codec", ["topk", "int8", "twobit", "raw"])
def test_what_is_written_is_read(codec: str) -> None:
    payload = encode_payload(codec, update())
    assert len(payload) == payload_size(codec, SHAPES)
    head, back = read(body(payload, meta(payload, codec)))
    assert head == meta(payload, codec)
    assert back == payload
    decoded = decode_payload(codec, back, SHAPES)
    assert encode_payload(codec, decoded) == payload
    if codec == "raw":
        assert all(torch.equal(decoded[name], t) for name, t in update().items())


def test_the_header_comes_in_any_pieces() -> None:
    payload = encode_payload("topk", update())
    whole = body(payload, meta(payload))
    for size in (1, 7, 100, len(whole)):
        reader, at, found = wire.HeaderReader(), 0, None
        while found is None:
            found = reader.feed(whole[at : at + size])
            at += size
        head, rest = found
        assert head == meta(payload)
        assert wire.read_payload(io.BytesIO(rest + whole[at:]), head, SHAPES) == payload


def test_raw_is_the_safetensors_file(tmp_path: Path) -> None:
    tensors = update()
    assert raw_bytes(tensors) == save(tensors)
    (tmp_path / "u.safetensors").write_bytes(raw_bytes(tensors))
    back = load_tensors(tmp_path / "u.safetensors", SHAPES).tensors
    assert all(torch.equal(back[name], t) for name, t in tensors.items())


def test_raw_takes_no_other_header() -> None:
    good = raw_bytes(update())
    with pytest.raises(CompressionError, match="header"):
        decode_payload("raw", good.replace(b"F32", b"I32", 1), SHAPES)
    with pytest.raises(CompressionError, match="due"):
        decode_payload("raw", save(update(), {"a": "b"}), SHAPES)
    with pytest.raises(CompressionError, match="finite"):
        decode_payload("raw", good[:-4] + b"\x00\x00\x80\x7f", SHAPES)
    with pytest.raises(CompressionError, match="finite"):
        raw_bytes({"a": torch.tensor([float("nan")])})


def test_residuals_are_named_by_their_bytes() -> None:
    assert zero_hash(SHAPES) == tensors_hash({name: torch.zeros(shape) for name, shape in SHAPES.items()})
    assert tensors_hash(update(1)) != tensors_hash(update(2))


def test_a_bomb_stays_packed() -> None:
    payload = encode_payload("topk", update())
    bomb = zstandard.ZstdCompressor().compress(bytes(1 << 30))
    head = body(payload, meta(payload))
    packed = head[: head.index(b"\x28\xb5\x2f\xfd")] + bomb
    with pytest.raises(wire.UploadError, match="more than"):
        read(packed)


def test_a_wide_window_is_refused() -> None:
    settings_ = zstandard.ZstdCompressionParameters.from_level(3, window_log=27)
    writer = zstandard.ZstdCompressor(compression_params=settings_).compressobj()
    wide = writer.compress(bytes(1 << 20)) + writer.flush()
    with pytest.raises(wire.UploadError, match="zstd"):
        wire.read_zstd(io.BytesIO(wide), 1 << 20)


def test_the_body_of_noise_keeps_below_its_limit() -> None:
    for size in (0, 1, 100, 1 << 17, (1 << 20) + 3):
        noise = torch.randint(0, 256, (size,), dtype=torch.uint8).numpy().tobytes()
        file = io.BytesIO()
        wire.write_zstd(file, noise)
        assert len(file.getvalue()) <= wire.body_limit(size)
        assert wire.read_zstd(io.BytesIO(file.getvalue()), size) == noise


@pytest.mark.parametrize(
    ("spoil", "match"),
    [
        (lambda b: b"PVU2" + b[4:], "no upload"),
        (lambda b: b[:4] + (META_LIMIT + 1).to_bytes(4, "big") + b[8:], "header has"),
        (lambda b: b[:4] + b"\x00\x00\x00\x00" + b[8:], "header has"),
        (lambda b: b[:20], "ends inside"),
        (lambda b: b[:6], "ends inside"),
        (lambda b: b[:-9], "fewer|zstd"),
        (lambda b: b + b"x", "zstd"),
        (lambda b: b + zstandard.ZstdCompressor().compress(b"more"), "more than"),
        (lambda b: b.replace(b'"loss":2.5', b'"loss":NaN'), "finite"),
        (lambda b: b.replace(b'"topk"', b'"gzip"'), "malformed"),
        (lambda b: b.replace(b'"topk"', b'"int8"'), "has"),
    ],
)
def test_what_nobody_writes_is_refused(spoil, match: str) -> None:  # type: ignore[no-untyped-def]
    payload = encode_payload("topk", update())
    with pytest.raises(wire.UploadError, match=match):
        read(spoil(body(payload, meta(payload))))


def test_another_payload_is_refused() -> None:
    payload, other = encode_payload("topk", update(1)), encode_payload("topk", update(2))
    head = meta(payload).model_dump_json(exclude_none=True).encode()
    file = io.BytesIO()
    file.write(wire.MAGIC + len(head).to_bytes(4, "big") + head)
    wire.write_zstd(file, other)
    with pytest.raises(wire.UploadError, match="hash"):
        read(file.getvalue())
    with pytest.raises(ValueError, match="another payload"):
        body(other, meta(payload))


def test_unknown_fields_and_deep_nesting_are_refused() -> None:
    payload = encode_payload("topk", update())
    for head in (json.dumps({**meta(payload).model_dump(), "extra": 1}).encode(), b"[" * 100_000, b'{"a":' * 50_000):
        with pytest.raises(wire.UploadError, match="malformed"):
            read(wire.MAGIC + len(head).to_bytes(4, "big") + head)


@settings(max_examples=150)
@given(at=st.integers(0, 10_000), bits=st.integers(1, 255), cut=st.integers(0, 10_000))
def test_damage_is_found_or_does_not_matter(at: int, bits: int, cut: int) -> None:
    payload = encode_payload("int8", update())
    good = body(payload, meta(payload, "int8"))
    bad = bytearray(good)
    bad[at % len(bad)] ^= bits
    for data in (bytes(bad), good[: cut % len(good)]):
        try:
            head, back = read(data)
        except wire.UploadError:
            continue
        assert len(back) == payload_size(head.codec, SHAPES)
        assert hashlib.sha256(back).hexdigest() == head.payload_sha256


def test_result_hashes_tell_traces_and_payloads_apart() -> None:
    root = wire.trace_root(leaves())
    assert wire.step_leaves([wire.wire_leaf(leaf) for leaf in leaves()]) == leaves()
    assert wire.result_hash(root, b"a" * 32) != wire.result_hash(root, b"b" * 32)
    assert wire.result_hash(wire.trace_root(leaves(2)), b"a" * 32) != wire.result_hash(root, b"a" * 32)
