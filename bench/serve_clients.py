"""Clients of a real `ponw serve` process: the time of a first token, and many requests at once, each recomputed."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from consensus.inference.answer import recompute
from consensus.inference.decoding import Decoder
from consensus.inference.sampling import Settings
from node.inference.text import ByteTokenizer, TextStream

SERVE_PRESET = "small"
START_SECONDS = 120
ANSWER_SECONDS = 600


@contextmanager
def serving(home: Path, state: Path) -> Iterator[str]:
    """The URL of a `ponw serve` process that serves the weights in `state`; it is drained when the block ends."""
    command = [sys.executable, "-m", "node.cli.app", "--home", str(home), "serve", "--port", "0"]
    command += ["--preset", SERVE_PRESET, "--state", str(state)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield _address(process)
        finally:
            process.terminate()
            process.wait(START_SECONDS)


def _address(process: subprocess.Popen[str]) -> str:
    for line in process.stdout or ():
        if found := re.match(r"address: (\S+)/v1", line):
            return found[1]
    raise SystemExit("the server did not start")


def first_token_ms(url: str, times: int = 9) -> float:
    """Median milliseconds from request to first token of a stream, the server idle."""
    found = []
    with httpx.Client(base_url=url, timeout=ANSWER_SECONDS) as client:
        for number in range(times):
            asked = _asked(number) | {"stream": True, "max_tokens": 2}
            began = time.perf_counter()
            with client.stream("POST", "/v1/completions", json=asked) as response:
                next(response.iter_lines())
                found.append(time.perf_counter() - began)
    return sorted(found)[times // 2] * 1000


def flood(url: str, requests: int, decoder: Decoder) -> dict[str, Any]:
    """`requests` at once; lost is one without an answer, or with another than its recomputation."""
    began = time.perf_counter()
    answers = asyncio.run(_flood(url, requests))
    seconds = time.perf_counter() - began
    lost = sum(answer is None or answer["text"] != _expected(decoder, i, answer) for i, answer in enumerate(answers))
    tokens = sum(answer["tokens"] for answer in answers if answer)
    return {"requests": requests, "lost": lost, "seconds": seconds, "tokens_per_s": tokens / seconds}


async def _flood(url: str, requests: int) -> list[dict[str, Any] | None]:
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=url, timeout=ANSWER_SECONDS, limits=limits) as client:
        return await asyncio.gather(*(_one(client, number) for number in range(requests)))


async def _one(client: httpx.AsyncClient, number: int) -> dict[str, Any] | None:
    try:
        response = await client.post("/v1/completions", json=_asked(number))
    except httpx.HTTPError:
        return None  # counted as lost
    if response.status_code != httpx.codes.OK:
        return None
    document = response.json()
    return {
        "text": document["choices"][0]["text"],
        "tokens": document["usage"]["completion_tokens"],
        "seed": bytes.fromhex(response.headers["x-ponw-seed"][2:]),
    }


def _asked(number: int) -> dict[str, Any]:
    return {
        "model": f"ponw-{SERVE_PRESET}",
        "prompt": f"Request number {number} " + "tells a story. " * (number % 5),
        "max_tokens": 16 + number % 33,
        "temperature": (number % 4) / 2,
        "top_p": 1 - (number % 3) / 10,
        "seed": number,
    }


def _expected(decoder: Decoder, number: int, answer: dict[str, Any]) -> str:
    asked, tokenizer = _asked(number), ByteTokenizer()
    settings = Settings(round(asked["temperature"] * 1000), round(asked["top_p"] * 10_000), answer["seed"])
    ids = recompute(decoder, tokenizer.encode(asked["prompt"].encode()), settings, asked["max_tokens"])
    text = TextStream(tokenizer)
    return "".join(text.feed(token) for token in ids) + text.end()
