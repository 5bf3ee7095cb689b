"""The compiled hasher gives the roots of hashlib, at every width, size and thread count; and falls back in the open."""

import ctypes
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.commitments import hashing

SIZES = [0, 1, 54, 55, 62, 63, 64, 65, 127, 1023, 1024, 1025, 2047, 2048, 2049, 4 * 1024, 16 * 1024 - 1, 16 * 1024]
SIZES += [17 * 1024 + 1, 255 * 1024, 256 * 1024, 256 * 1024 + 1, 513 * 1024 + 77]
STREAM = np.random.default_rng(7).integers(0, 256, max(SIZES) + 64, dtype=np.uint8)


@pytest.fixture(params=[1, 2], ids=["sha-ni", "avx512"])
def library(request: pytest.FixtureRequest) -> Iterator[ctypes.CDLL]:
    """The compiled hasher at one width; skipped where it is not built or the processor lacks it."""
    chosen = hashing.provider()
    if chosen.library is None:
        pytest.skip(chosen.reason)
    if chosen.library.ponw_sha256_available() < request.param:
        pytest.skip("this processor lacks the width")
    chosen.library.ponw_sha256_cap(request.param)
    yield chosen.library
    chosen.library.ponw_sha256_cap(2)


@pytest.mark.parametrize("size", SIZES)
def test_compiled_equals_hashlib(library: ctypes.CDLL, size: int) -> None:
    for shift in (0, 1, 33):  # no alignment is asked for
        data = STREAM[shift : shift + size]
        assert hashing.native_roots(library, [data], 1) == hashing.portable_roots([data])


@pytest.mark.parametrize("threads", [0, 1, 2, 3])
def test_many_tensors_in_one_call(library: ctypes.CDLL, threads: int) -> None:
    tensors = [STREAM[size % 64 : size % 64 + size] for size in SIZES]
    assert hashing.native_roots(library, tensors, threads) == hashing.portable_roots(tensors)


@settings(max_examples=60)
@given(st.lists(st.integers(0, 40_000), max_size=6))
def test_random_sizes(sizes: list[int]) -> None:
    tensors = [STREAM[:size] for size in sizes]
    assert hashing.roots(tensors) == hashing.portable_roots(tensors)


def test_single_tensor_entry(library: ctypes.CDLL) -> None:
    data = STREAM[: 300 * 1024 + 3]
    out, scratch = np.empty(32, np.uint8), np.empty(32 * 301, np.uint8)
    call = library.ponw_tensor_root
    call.argtypes = [ctypes.c_void_p, ctypes.c_uint64, ctypes.c_void_p, ctypes.c_void_p]
    call.restype = None
    call(data.ctypes.data, data.size, out.ctypes.data, scratch.ctypes.data)
    assert [out.tobytes()] == hashing.portable_roots([data])


class Wrong:
    """A hasher that loads and runs, and is wrong: what the self-check is for."""

    ponw_sha256_available = staticmethod(lambda: 2)
    ponw_tensor_roots = staticmethod(lambda *_: 0)


@pytest.fixture
def fresh() -> Iterator[None]:
    hashing.provider.cache_clear()
    yield
    hashing.provider.cache_clear()


@pytest.mark.usefixtures("fresh")
def test_a_wrong_hasher_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing, "_find", lambda: "somewhere")
    monkeypatch.setattr(hashing, "load_library", lambda _: Wrong())
    assert hashing.provider() == hashing.Provider("hashlib", "the compiled hasher failed its self-check")
    assert hashing.roots([STREAM[:5000]]) == hashing.portable_roots([STREAM[:5000]])


@pytest.mark.usefixtures("fresh")
def test_a_hasher_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing, "_find", lambda: None)
    assert hashing.provider() == hashing.Provider("hashlib", "the compiled hasher was not built")


@pytest.mark.usefixtures("fresh")
def test_a_hasher_that_does_not_load(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    broken = tmp_path_factory.mktemp("library") / "_sha256.so"
    broken.write_bytes(b"not a library")
    monkeypatch.setattr(hashing, "_find", lambda: str(broken))
    assert hashing.provider().name == "hashlib"
    assert "does not load" in hashing.provider().reason
