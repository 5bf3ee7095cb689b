"""The update that a claim names, and its bytes: exact both ways, of one length, and refused before they cost much."""

from __future__ import annotations

import hashlib
import json
import random
import socket
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.commitments.tensors import tensor_set_root
from consensus.errors import CompressionError
from consensus.model.config import PRESETS
from consensus.program import execute
from consensus.program.update import update_program
from consensus.training.claimed import claimed_update, pack_update, unpack_update, update_bytes
from consensus.training.outer import update_of
from node.artefacts.client import ArtefactClient
from node.artefacts.errors import ArtefactMissingError, ArtefactRefusedError, ArtefactSizeError
from node.artefacts.layout import UPDATE_NAME
from tests.program.test_rounded_update import MICRO, same

Tensors = dict[str, torch.Tensor]
SHAPES = st.dictionaries(st.sampled_from("abcd"), st.integers(1, 700).map(lambda n: (n,)), min_size=1)


def finite(rng: np.random.Generator, shape: tuple[int, ...], low: int, high: int) -> torch.Tensor:
    """Any finite fp32 numbers whose exponents lie between these, zeros and subnormals among them."""
    exponent = rng.integers(low, high + 1, shape, dtype=np.uint32)
    bits = (
        (rng.integers(0, 2, shape, dtype=np.uint32) << 31)
        | (exponent << 23)
        | rng.integers(0, 1 << 23, shape, dtype=np.uint32)
    )
    return torch.from_numpy(np.where(rng.random(shape) < 0.1, 0, bits).astype(np.uint32).view(np.float32))


def ends(shapes: dict[str, tuple[int, ...]], seed: int, low: int, high: int) -> tuple[Tensors, Tensors]:
    rng = np.random.default_rng(seed)
    start, end = ({name: finite(rng, shape, low, high) for name, shape in shapes.items()} for _ in range(2))
    return start, end


def small_update(seed: int = 1) -> tuple[Tensors, dict[str, tuple[int, ...]]]:
    shapes: dict[str, tuple[int, ...]] = {"a": (3, 200), "b": (7,)}
    return claimed_update(*ends(shapes, seed, 100, 130)), shapes


@settings(max_examples=200)
@given(SHAPES, st.integers(0, 2**32), st.integers(0, 254), st.integers(0, 254))
def test_whatever_the_weights_the_bytes_give_exactly_what_the_claim_names(
    shapes: dict[str, tuple[int, ...]], seed: int, one: int, other: int
) -> None:
    update = claimed_update(*ends(shapes, seed, min(one, other), max(one, other)))
    assert all(bool(torch.isfinite(tensor).all()) for tensor in update.values())
    data = pack_update(update)
    assert len(data) == update_bytes(shapes)
    decoded = unpack_update(data, shapes)
    assert list(decoded) == list(shapes)
    assert all(same(decoded[name], update[name]) for name in shapes)
    assert tensor_set_root(decoded) == tensor_set_root(update)


@settings(max_examples=200)
@given(SHAPES, st.integers(0, 2**32), st.binary(min_size=1, max_size=4))
def test_other_bytes_are_refused_or_are_an_update_like_any_other(
    shapes: dict[str, tuple[int, ...]], seed: int, noise: bytes
) -> None:
    data, draw = bytearray(pack_update(claimed_update(*ends(shapes, seed, 90, 140)))), random.Random(seed)  # noqa: S311
    for byte in noise:
        data[draw.randrange(len(data))] ^= byte
    try:
        decoded = unpack_update(bytes(data), shapes)
    except CompressionError:
        return
    assert {name: tuple(tensor.shape) for name, tensor in decoded.items()} == shapes
    assert all(bool(torch.isfinite(tensor).all()) for tensor in decoded.values())


@pytest.mark.parametrize("cut", [slice(0, 0), slice(0, -1), slice(1, None), slice(0, 15)])
def test_another_length_is_refused(cut: slice) -> None:
    update, shapes = small_update()
    with pytest.raises(CompressionError, match="bytes where"):
        unpack_update(pack_update(update)[cut], shapes)
    with pytest.raises(CompressionError, match="bytes where"):
        unpack_update(pack_update(update) + b"\0", shapes)


def test_what_int8_blocks_do_not_hold_is_not_packed() -> None:
    start, end = ends({"a": (300,)}, 5, 120, 127)
    with pytest.raises(CompressionError, match="not rounded"):
        pack_update(update_of(start, end))
    for value in (float("nan"), float("inf"), -0.0):
        with pytest.raises(CompressionError):
            pack_update({"a": torch.tensor([value, 1.0])})


def test_the_program_that_is_disputed_gives_the_claimed_update() -> None:
    start, end = ends(MICRO.shapes(), 3, 90, 126)
    given = {f"start/{n}": w for n, w in start.items()} | {f"end/{n}": w for n, w in end.items()}
    found, update = execute(update_program(MICRO), given), claimed_update(start, end)
    assert all(same(found[f"update/{name}"], update[name]) for name in MICRO.shapes())


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_bytes_of_an_update_before_and_after(preset: str) -> None:
    shapes = PRESETS[preset].shapes()
    plain = 4 * sum(int(np.prod(shape)) for shape in shapes.values())
    print(f"{preset}: an update took {plain:,} bytes and takes {update_bytes(shapes):,}")
    assert 3.98 < plain / update_bytes(shapes) < 3.99


# --- over the network ---


@contextmanager
def peer(size: int, body: Callable[[], Iterator[bytes]], told: bytes) -> Iterator[str]:
    """A peer whose index lists an update of `size` bytes with the SHA-256 of `told`, and that sends `body` for it."""
    entry = {"name": UPDATE_NAME, "size": size, "sha256": hashlib.sha256(told).hexdigest()}
    index = json.dumps({"schema_version": 1, "round": 1, "files": [entry]}).encode()
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)

        def serve() -> None:
            while not stop.is_set():
                try:
                    connection, _ = listener.accept()
                except TimeoutError:
                    continue
                with connection:
                    answer(connection)

        def answer(connection: socket.socket) -> None:
            request = b""
            while b"\r\n\r\n" not in request:
                request += connection.recv(65536)
            whole = UPDATE_NAME.encode() not in request.split(b"\r\n", 1)[0]
            try:
                connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
                for chunk in iter([index]) if whole else body():
                    connection.sendall(chunk)
            except (BrokenPipeError, ConnectionResetError):
                return  # the client had enough

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            stop.set()
            thread.join(10)
    assert not thread.is_alive()


def fetched(uri: str, shapes: dict[str, tuple[int, ...]], folder: Path) -> Tensors:
    with ArtefactClient(uri, attempts=1) as client:
        return client.fetch_update(client.index(1), shapes, folder / "update")


def test_what_is_served_is_what_was_packed(tmp_path: Path) -> None:
    update, shapes = small_update()
    data = pack_update(update)
    with peer(len(data), lambda: iter([data]), data) as uri:
        assert all(same(found, update[name]) for name, found in fetched(uri, shapes, tmp_path).items())
    with peer(len(data), lambda: iter([data]), data) as uri, ArtefactClient(uri) as client:
        index = client.index(1).model_copy(update={"files": ()})
        with pytest.raises(ArtefactMissingError):
            client.fetch_update(index, shapes, tmp_path / "update")


def test_malformed_bytes_under_a_true_hash_are_refused(tmp_path: Path) -> None:
    update, shapes = small_update()
    data = bytearray(pack_update(update))
    data[-1] = 0x80  # -128, which no element is
    refused = pytest.raises(ArtefactRefusedError, match="out of range")
    with peer(len(data), lambda: iter([bytes(data)]), bytes(data)) as uri, refused:
        fetched(uri, shapes, tmp_path)


def test_an_update_that_is_too_large_costs_no_memory_and_no_byte(tmp_path: Path) -> None:
    update, shapes = small_update()
    data, sent = pack_update(update), []

    def endless() -> Iterator[bytes]:
        while len(sent) < 1 << 14:
            sent.append(1)
            yield bytes(1 << 16)

    tracemalloc.start()
    try:
        refused = pytest.raises(ArtefactSizeError, match=f"{1 << 40} bytes where {len(data)} are due")
        with peer(1 << 40, endless, data) as uri, refused:
            fetched(uri, shapes, tmp_path)
        assert not sent, "the update itself was never asked for"
        refused = pytest.raises(ArtefactSizeError, match=r"sent more of update\.bin")
        with peer(len(data), endless, data) as uri, refused:
            fetched(uri, shapes, tmp_path)
        assert sent
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1 << 23, f"{peak} bytes for an update of {len(data)}"
    assert not (tmp_path / "update").exists()
