"""Serving: exact through the service against plain fp32 PyTorch, in turns; then 200 requests at once over HTTP.

Writes bench/results/serve.json. The ratios at the top level are preset small's; `presets` has each.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.native_generate import NativeGenerator
from bench.serve_clients import SERVE_PRESET, first_token_ms, flood, serving
from consensus.arithmetic import set_threads
from consensus.inference.choice import choose_decoder
from consensus.inference.sampling import Settings
from consensus.model.config import PRESETS, ModelConfig
from consensus.model.init import init_weights, uniform_bits
from node.inference.model import model_of
from node.inference.service import InferenceService
from node.storage.tensorfile import Tensors, save_tensors

RESULTS = Path(__file__).parent / "results" / "serve.json"
PROMPT, ANSWER, AT_ONCE = 32, 64, 8


def say(line: str) -> None:
    """One line at once."""
    print(line, flush=True)


def weights_of(config: ModelConfig) -> Tensors:
    """A network's start, with the matrices that start at zero filled as well: no product is trivial."""
    weights = init_weights(config, b"bench serve")
    for name, w in weights.items():
        if not bool(w.any()):
            values = torch.from_numpy(uniform_bits(b"bench serve", name, w.numel())).to(torch.float32)
            weights[name] = (values * 2.0**-27).view(w.shape)
    return weights


def measure(config: ModelConfig, rounds: int, threads: int) -> dict[str, Any]:
    """Both sides at one and at eight answers, in turns; medians of tokens a second."""
    weights = weights_of(config)
    native = NativeGenerator(config, weights)
    decoder = choose_decoder(config, weights, AT_ONCE, threads, clock=time.perf_counter)
    service = InferenceService(model_of(config, weights, "bench"), decoder)
    sides: dict[str, Callable[[int], float]] = {
        "exact_b1": lambda seed: _exact(service, 1, seed),
        "native_b1": lambda _: _native(native, 1),
        "exact_b8": lambda seed: _exact(service, AT_ONCE, seed),
        "native_b8": lambda _: _native(native, AT_ONCE),
    }
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name, side in sides.items():
            rate = side(number)
            if number:  # the first round warms up
                rates[name].append(rate)
        if number:
            say(f"  round {number}/{rounds}: " + ", ".join(f"{name} {rates[name][-1]:,.0f}" for name in sides))
    service.close()
    medians = {name: statistics.median(found) for name, found in rates.items()}
    return {
        "kernel": decoder.name,
        "tokens_per_s": medians,
        "ratio_b1": medians["exact_b1"] / medians["native_b1"],
        "ratio_b8": medians["exact_b8"] / medians["native_b8"],
        "rounds": rates,
    }


def _native(native: NativeGenerator, batch: int) -> float:
    prompts = torch.arange(batch * PROMPT).view(batch, PROMPT) % 251
    began = time.perf_counter()
    drawn = native.generate(prompts, ANSWER, 1.0)
    return drawn.numel() / (time.perf_counter() - began)


def _exact(service: InferenceService, batch: int, seed: int) -> float:
    async def answer(index: int) -> int:
        settings = Settings(1000, 10_000, bytes([seed, index]) * 16)
        prompt = [(index * PROMPT + i) % 251 for i in range(PROMPT)]
        return len([piece.id async for piece in service.submit(prompt, settings, ANSWER)])

    async def answers() -> int:
        return sum(await asyncio.gather(*(answer(index) for index in range(batch))))

    began = time.perf_counter()
    return asyncio.run(answers()) / (time.perf_counter() - began)


def main() -> None:
    """Run every part and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9, help="timed turns of each side (default 9)")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="compute threads (default all)")
    parser.add_argument("--requests", type=int, default=200, help="requests at once over HTTP (default 200)")
    options = parser.parse_args()
    set_threads(options.threads)
    presets: dict[str, Any] = {}
    for name in ("tiny", "small"):
        say(f"{name}, {options.threads} threads, load {os.getloadavg()[0]:.2f}:")
        presets[name] = measure(PRESETS[name], options.rounds, options.threads)
    with tempfile.TemporaryDirectory() as scratch:
        state, config = Path(scratch) / "weights.safetensors", PRESETS[SERVE_PRESET]
        weights = weights_of(config)
        save_tensors(state, weights, {})
        with serving(Path(scratch) / "home", state) as url:
            first = first_token_ms(url)
            say(f"first token after {first:.1f} ms")
            concurrent = flood(url, options.requests, choose_decoder(config, weights, 1))
    say(f"{options.requests} requests at once: {concurrent}")
    main_one = presets["small"]
    results = {key: main_one[key] for key in ("kernel", "tokens_per_s", "ratio_b1", "ratio_b8")}
    results |= {"first_token_ms": first, "concurrent": concurrent, "preset": "small", "presets": presets}
    results["tokens"] = {"prompt": PROMPT, "answer": ANSWER}
    results["machine"] = {"cpu": platform.processor() or platform.machine(), "threads": options.threads}
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    for name, one in presets.items():
        say(f"{name}: ×{one['ratio_b1']:.2f} with one answer, ×{one['ratio_b8']:.2f} with {AT_ONCE} at once")
    say(f"written to {RESULTS}")


if __name__ == "__main__":
    main()
