"""Malformed uploads to a running gateway (`ponw gateway run`, a process of its own, SQLite, preset tiny). Writes
bench/results/fuzz-gateway.json.

Each upload is a valid one that was spoiled in one way. The gateway must answer each with a problem of its catalogue (or
take what is still an upload), must not answer 500, must not grow, and must take a valid upload afterwards.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import zstandard

from consensus.arithmetic import choose_engine
from consensus.model.config import PRESETS
from node.data.corpus import ensure_default
from node.gateway.problems import Code
from node.gateway.schemas import META_LIMIT
from node.gateway.wire import MAGIC
from node.training.work import Workshop
from tests.gateway.volunteers import Person, enrol

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).parent / "results" / "fuzz-gateway.json"
OPTIONS: Final = {
    "SIZES": "[8]",
    "SAMPLES_MAX": "8",
    "POW_DIFFICULTY": "4",
    "THREADS": "1",
    **{f"RATE_{name}": "1000000/minute" for name in ("REGISTER", "LOGIN", "WORKER", "DOWNLOAD", "PUBLIC")},
}
GROWTH_MAX: Final = 128 << 20
"""Bytes that the process may hold more in the last quarter of the uploads than in the second: it trains and joins in
between, and allocators keep some of what they used."""
PARTS: Final = 20
Spoil = Callable[[random.Random, bytes], bytes]


def split(body: bytes) -> tuple[dict[str, Any], bytes]:
    """Header and zstd stream of a valid body."""
    end = 8 + int.from_bytes(body[4:8], "big")
    return json.loads(body[8:end]), body[end:]


def joined(head: dict[str, Any] | bytes, stream: bytes) -> bytes:
    """The reverse; the header may be any bytes."""
    raw = head if isinstance(head, bytes) else json.dumps(head).encode()
    return MAGIC + len(raw).to_bytes(4, "big") + raw + stream


def flipped(draw: random.Random, body: bytes) -> bytes:
    """Some bits turned, anywhere."""
    out = bytearray(body)
    for _ in range(draw.randint(1, 40)):
        out[draw.randrange(len(out))] ^= 1 << draw.randrange(8)
    return bytes(out)


def flipped_stream(draw: random.Random, body: bytes) -> bytes:
    """A bit turned in the compressed payload."""
    head, stream = split(body)
    return joined(head, flipped(draw, stream))


def cut(draw: random.Random, body: bytes) -> bytes:
    """The end is missing."""
    return body[: draw.randrange(len(body))]


def longer(draw: random.Random, body: bytes) -> bytes:
    """Something follows: junk, or another frame."""
    extra = draw.randbytes(draw.randint(1, 5_000))
    return body + (extra if draw.random() < 0.5 else zstandard.compress(extra))


def junk(draw: random.Random, body: bytes) -> bytes:
    """Nothing of an upload, or only its first bytes."""
    return body[: draw.choice([0, 0, 4, 8])] + draw.randbytes(draw.randint(0, 20_000))


def length(draw: random.Random, body: bytes) -> bytes:
    """The header says that it is of another length."""
    said = draw.choice([0, 1, META_LIMIT, META_LIMIT + 1, (1 << 32) - 1, draw.randrange(1 << 32)])
    return body[:4] + said.to_bytes(4, "big") + body[8:]


def field(draw: random.Random, body: bytes) -> bytes:
    """A field of the header has another value or type, is missing, or is one too many."""
    head, stream = split(body)
    name = draw.choice([*head, "extra"])
    odd = [None, -1, 1 << 62, 1 << 70, 1e308, True, "", "x" * 5_000, [], {}, "00" * 32, "v1", "topk", "raw", "int8"]
    if draw.random() < 0.15:
        head.pop(name, None)
    else:
        head[name] = draw.choice(odd)
    raw = json.dumps(head).encode()
    return joined(raw.replace(b"null", draw.choice([b"null", b"NaN", b"Infinity", b"-Infinity"])), stream)


def leaves(draw: random.Random, body: bytes) -> bytes:
    """Too many leaves, too few, or one that is none."""
    head, stream = split(body)
    odd: list[Any] = [{}, None, 7, {"state_root": "zz"}, [[]]]
    head["leaves"] = draw.choice([[], head["leaves"] * draw.choice([2, 100, 5_000]), [draw.choice(odd)]])
    return joined(head, stream)


def deep(draw: random.Random, body: bytes) -> bytes:
    """JSON that is nested without end, or no JSON."""
    _, stream = split(body)
    return joined(draw.choice([b"[" * 200_000, b'{"a":' * 100_000, b'"' * 1_000, b"\xff\xfe" * 500, b"{}"]), stream)


def bomb(draw: random.Random, body: bytes) -> bytes:
    """A little that unpacks to very much."""
    head, _ = split(body)
    if draw.random() < 0.5:
        head["payload_size"] = draw.choice([1 << 30, (1 << 62) - 1, 0])
    return joined(head, BOMB)


def window(draw: random.Random, body: bytes) -> bytes:
    """A frame that asks for 128 MiB or more to be remembered."""
    head, _ = split(body)
    settings = zstandard.ZstdCompressionParameters.from_level(1, window_log=draw.choice([27, 28]))
    writer = zstandard.ZstdCompressor(compression_params=settings).compressobj()
    return joined(head, writer.compress(draw.randbytes(2_000)) + writer.flush())


def payload(draw: random.Random, body: bytes) -> bytes:
    """Other bytes under a header that is right about them: it is the update itself that does not decode."""
    head, stream = split(body)
    data = bytearray(zstandard.ZstdDecompressor().decompressobj().decompress(stream))
    kind = draw.randrange(3)
    if kind == 0:
        data[16:] = draw.randbytes(len(data) - 16)
    elif kind == 1:
        data[: draw.randint(1, 16)] = b"\xff" * draw.randint(1, 16)
    else:
        data = data[: draw.randrange(len(data))]
    head["payload_sha256"], head["payload_size"] = hashlib.sha256(data).hexdigest(), len(data)
    return joined(head, zstandard.compress(bytes(data)))


BOMB: Final = zstandard.compress(bytes(1 << 30))
SPOILS: Final[dict[str, Spoil]] = {
    one.__name__: one
    for one in (flipped, flipped_stream, cut, longer, junk, length, field, leaves, deep, bomb, window, payload)
}


@contextmanager
def running(home: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A gateway at a free port: (process, address)."""
    environment = {**os.environ, **{f"PONW_GATEWAY_{name}": value for name, value in OPTIONS.items()}}
    words = [sys.executable, "-m", "node.cli.app", "--home", str(home), "gateway", "run", "--listen", "127.0.0.1:0"]
    with (home / "log").open("w") as log:
        process = subprocess.Popen(words, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        address = ""
        for line in process.stdout:
            if (found := re.match(r"address: +(http\S+)", line)) is not None:
                address = found[1]
                break
        if not address:
            raise RuntimeError(f"the gateway did not start: {(home / 'log').read_text()[-2_000:]}")
        threading.Thread(target=lambda: list(process.stdout or ()), daemon=True).start()
        yield process, address
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def memory(pid: int) -> dict[str, int]:
    """Bytes that a process holds now and held at most."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return {
        name: int(re.search(rf"{key}:\s+(\d+)", text)[1]) << 10 for name, key in (("now", "VmRSS"), ("most", "VmHWM"))
    }  # type: ignore[index]


class Fuzzer:
    """One volunteer after the other at one address; a thread each."""

    def __init__(self, address: str, shop: Workshop, folder: Path, seed: int) -> None:
        self.api = httpx.Client(base_url=address, timeout=300)
        self.shop, self.folder, self.draw = shop, folder, random.Random(seed)  # noqa: S311 - what is spoiled
        self.answers: Counter[str] = Counter()
        self.odd: list[str] = []
        self.mine: tuple[Person, bytes] | None = None

    def fresh(self) -> tuple[Person, bytes]:
        """A volunteer with a lease, and a valid upload of it."""
        person = enrol(self.api)
        offer = person.request()
        with LOCK:
            return person, person.train(self.shop, offer, self.folder)

    def run(self, count: int) -> None:
        """Send so many spoiled uploads."""
        person, good = self.mine = self.mine or self.fresh()
        for _ in range(count):
            name = self.draw.choice(list(SPOILS))
            answer = person.upload(SPOILS[name](self.draw, good))
            code = answer.json().get("code", answer.json().get("state", ""))
            self.answers[f"{answer.status_code} {code}"] += 1
            known = answer.status_code == 200 or code in set(Code)
            if answer.status_code >= 500 or not known:
                self.odd.append(f"{name}: {answer.status_code} {answer.text[:200]}")
            if answer.status_code == 200 or code in {Code.LEASE, Code.QUARANTINED}:
                person, good = self.mine = self.fresh()


LOCK = threading.Lock()


def fuzz(count: int, threads: int) -> dict[str, Any]:
    """The whole run; its figures."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        shop = Workshop(PRESETS["tiny"], choose_engine(1), ensure_default(home / "text"))
        (home / "node").mkdir()
        with running(home / "node") as (process, address):
            fuzzers = [Fuzzer(address, shop, home, seed) for seed in range(threads)]
            started = time.monotonic()
            with ThreadPoolExecutor(threads) as pool:
                held = []
                for _ in range(PARTS):
                    list(pool.map(lambda one: one.run(-(-count // (threads * PARTS))), fuzzers))
                    held.append(memory(process.pid)["now"])
            person, good = fuzzers[0].fresh()
            valid = person.upload(good)
            health = fuzzers[0].api.get("/health").status_code
            answers = sum((one.answers for one in fuzzers), Counter())
            return {
                "uploads": sum(answers.values()),
                "seconds": round(time.monotonic() - started, 1),
                "answers": dict(answers.most_common()),
                "odd": [line for one in fuzzers for line in one.odd][:20],
                "running": process.poll() is None and health == 200,
                "valid_afterwards": valid.json().get("state", valid.text),
                "memory": held,
                "memory_most": memory(process.pid)["most"],
            }


def is_sound(found: dict[str, Any], growth_max: int = GROWTH_MAX) -> bool:
    """Nothing crashed, nothing grew, everything was answered."""
    held, quarter = found["memory"], len(found["memory"]) // 4
    grown = max(held[-quarter:]) - max(held[quarter : 2 * quarter])
    alive = found["running"] and found["valid_afterwards"] in {"held", "accepted"}
    return alive and not found["odd"] and grown <= growth_max


def main() -> int:
    """Run and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=4)
    options = parser.parse_args()
    found = fuzz(options.count, options.threads)
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=2))
    return 0 if is_sound(found) else 1


if __name__ == "__main__":
    sys.exit(main())
