"""The official client against a real `ponw serve` process, and 200 requests at once."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import openai
import pytest
import torch

from consensus.inference.answer import recompute
from consensus.inference.choice import choose_decoder
from consensus.inference.sampling import Settings
from consensus.model.config import PRESETS
from consensus.model.init import init_weights
from node.inference.openai.app import seed_of
from node.inference.openai.schemas import Message, chat_prompt
from node.inference.text import ByteTokenizer, TextStream
from node.storage.tensorfile import save_tensors

pytestmark = pytest.mark.process
CONFIG = PRESETS["tiny"]
NAME = "ponw-tiny"
REQUESTS = 200


def weights() -> dict[str, torch.Tensor]:
    """A network's start with every matrix filled, so that tokens differ."""
    start = init_weights(CONFIG, b"a test")
    other = init_weights(CONFIG, b"another")
    for i in range(CONFIG.layers):
        start[f"layer{i:03d}.attn_out"] = other[f"layer{i:03d}.attn_in"][: CONFIG.width].clone()
        start[f"layer{i:03d}.mlp_out"] = other[f"layer{i:03d}.mlp_in"].t().contiguous()
    start["head"] = other["embed"] * 0.25
    return start


@dataclass(frozen=True)
class Served:
    """A running server."""

    url: str
    process: subprocess.Popen[str]

    @property
    def client(self) -> openai.OpenAI:
        """The official client, as anyone would set it up."""
        return openai.OpenAI(base_url=self.url, api_key="none", max_retries=0, timeout=120)


def start(home: Path, *options: str) -> Served:
    command = [sys.executable, "-m", "node.cli.app", "--home", str(home), "serve", "--port", "0", "--preset", "tiny"]
    process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if line.startswith("address: "):
            return Served(line.split()[1], process)
    raise AssertionError("".join(said))


def stop(served: Served) -> None:
    served.process.terminate()
    assert served.process.wait(60) == 0


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("state") / "weights.safetensors"
    save_tensors(path, weights(), {})
    return path


@pytest.fixture(scope="module")
def served(state: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    running = start(tmp_path_factory.mktemp("home"), "--state", str(state))
    yield running
    stop(running)


def expected(prompt: str, count: int, temperature: float, top_p: float, seed: bytes) -> str:
    """The text that anyone with the weights computes."""
    decoder = choose_decoder(CONFIG, weights(), 1, 1)
    settings = Settings(round(temperature * 1000), round(top_p * 10_000), seed)
    ids = recompute(decoder, ByteTokenizer().encode(prompt.encode()), settings, count)
    stream = TextStream(ByteTokenizer())
    return "".join(stream.feed(token) for token in ids) + stream.end()


def test_models(served: Served) -> None:
    assert [model.id for model in served.client.models.list()] == [NAME]
    assert served.client.models.retrieve(NAME).owned_by == "ponw"
    with pytest.raises(openai.NotFoundError):
        served.client.models.retrieve("gpt-4o")


def test_a_completion_whole_and_streamed(served: Served) -> None:
    asked = {"model": NAME, "prompt": "Once upon", "max_tokens": 40, "temperature": 0.8, "top_p": 0.9, "seed": 11}
    whole = served.client.completions.create(**asked)
    text = expected("Once upon", 40, 0.8, 0.9, seed_of(11))
    assert whole.choices[0].text == text
    assert whole.choices[0].finish_reason in {"length", "stop"}
    assert whole.usage is not None
    assert (whole.usage.prompt_tokens, whole.usage.total_tokens) == (9, 9 + whole.usage.completion_tokens)
    chunks = list(served.client.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices) == text
    assert chunks[-2].choices[0].finish_reason == whole.choices[0].finish_reason
    assert chunks[-1].usage == whole.usage


def test_a_chat_whole_and_streamed(served: Served) -> None:
    messages = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Hi"}]
    prompt = chat_prompt([Message.model_validate(message) for message in messages])
    assert prompt == "system: Be short.\nuser: Hi\nassistant:"
    asked = {"model": NAME, "messages": messages, "max_completion_tokens": 30, "seed": -5}
    whole = served.client.chat.completions.create(**asked)
    assert whole.choices[0].message.content == expected(prompt, 30, 1, 1, seed_of(-5))
    stream = served.client.chat.completions.create(**asked, stream=True)
    parts = [chunk.choices[0] for chunk in stream]
    assert parts[0].delta.role == "assistant"
    assert "".join(part.delta.content or "" for part in parts) == whole.choices[0].message.content
    assert parts[-1].finish_reason == whole.choices[0].finish_reason


def test_stop_sequences_end_the_answer_before_them(served: Served) -> None:
    asked = {"model": NAME, "prompt": "Stop", "max_tokens": 60, "seed": 3}
    text = served.client.completions.create(**asked).choices[0].text
    stop_at = text[7:9]
    cut = served.client.completions.create(**asked, stop=["never there", stop_at]).choices[0]
    assert cut.finish_reason == "stop"
    assert cut.text == text[: text.index(stop_at)]
    streamed = served.client.completions.create(**asked, stop=stop_at, stream=True)
    assert "".join(chunk.choices[0].text for chunk in streamed) == cut.text


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"prompt": "x" * 120, "max_tokens": 30}, 400, "context_length_exceeded"),
        ({"model": "gpt-4o"}, 404, "model_not_found"),
        ({"logprobs": 3}, 400, None),
        ({"n": 2}, 400, None),
        ({"temperature": -1}, 400, None),
        ({"max_tokens": 0}, 400, None),
        ({"prompt": ""}, 400, "invalid_prompt"),
        ({"prompt": [999]}, 400, "invalid_prompt"),
        ({"prompt": ["two", "prompts"]}, 400, None),
        ({"stop": ["a", "b", "c", "d", "e"]}, 400, None),
    ],
    ids=str,
)
def test_refusals_have_openais_shape(served: Served, change: dict[str, object], status: int, code: str | None) -> None:
    asked = {"model": NAME, "prompt": "x", "max_tokens": 5} | change
    with pytest.raises(openai.APIStatusError) as caught:
        served.client.completions.create(**asked)
    assert (caught.value.status_code, caught.value.code) == (status, code)
    assert caught.value.type == "invalid_request_error"


def test_bodies_are_bounded_and_json(served: Served) -> None:
    url = f"{served.url}/completions"
    long = b'{"model": "' + b"x" * (1 << 20) + b'"}'
    json = {"content-type": "application/json"}
    assert httpx.post(url, content=long, headers=json).status_code == 413
    assert httpx.post(url, content=b"{", headers=json).status_code == 400
    assert httpx.post(url, content=b"{}", headers={"content-type": "text/plain"}).status_code == 415


def test_a_client_that_leaves_stops_its_answer(served: Served) -> None:
    before = figure(served, 'ponw_requests_total{reason="stopped"}')
    asked = {"model": NAME, "prompt": "x", "max_tokens": 120, "stream": True}
    for _ in range(3):
        with httpx.stream("POST", f"{served.url}/completions", json=asked) as response:
            next(response.iter_lines())
    served.client.completions.create(model=NAME, prompt="x", max_tokens=120)
    ended = sum(figure(served, f'ponw_requests_total{{reason="{why}"}}') for why in ("stopped", "length", "eos"))
    assert figure(served, "ponw_slots_busy") == 0
    assert ended >= before + 4


def test_200_requests_at_once_lose_nothing(served: Served) -> None:
    import asyncio

    def asked(n: int) -> dict[str, object]:
        return {
            "model": NAME,
            "prompt": f"Request {n}: " + "and so on " * (n % 4),
            "max_tokens": 8 + n % 25,
            "temperature": (n % 3) / 2,
            "top_p": 1 - (n % 4) / 10,
            "seed": n,
        }

    async def all_of_them() -> list[str]:
        limits = httpx.Limits(max_connections=None)
        async with (
            httpx.AsyncClient(limits=limits, timeout=300) as http,
            openai.AsyncOpenAI(base_url=served.url, api_key="none", max_retries=0, http_client=http) as client,
        ):
            made = [client.completions.create(**asked(n)) for n in range(REQUESTS)]  # type: ignore[call-overload]
            return [answer.choices[0].text for answer in await asyncio.gather(*made)]

    texts = asyncio.run(all_of_them())
    decoder = choose_decoder(CONFIG, weights(), 1, 1)
    for n, text in enumerate(texts):
        one = asked(n)
        settings = Settings(round(one["temperature"] * 1000), round(one["top_p"] * 10_000), seed_of(n))
        ids = recompute(decoder, list(str(one["prompt"]).encode()), settings, int(str(one["max_tokens"])))
        stream = TextStream(ByteTokenizer())
        assert text == "".join(stream.feed(token) for token in ids) + stream.end(), f"answer {n}"
    assert figure(served, 'ponw_requests_total{reason="failed"}') == 0


def test_keys_are_asked_for_where_a_file_names_them(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(
        f"# two keys\nplain-key-0123456789\nsha256:{hashlib.sha256(b'a hashed key').hexdigest()}\n", encoding="utf-8"
    )
    served = start(tmp_path / "home", "--api-key-file", str(tmp_path / "keys"), "--slots", "1")
    try:
        for key in ("plain-key-0123456789", "a hashed key"):
            assert served.client.with_options(api_key=key).models.list().data
        for key in ("", "other", "# two keys", "plain-key-012345678"):
            with pytest.raises(openai.AuthenticationError):
                served.client.with_options(api_key=key or "-").models.list()
        assert httpx.get(served.url.replace("/v1", "/healthz")).json() == {"status": "ok"}
    finally:
        stop(served)


def test_an_open_address_without_keys_is_refused(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "node.cli.app", "--home", str(tmp_path), "serve", "--host", "192.0.2.1"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 3
    assert "--api-key-file" in result.stderr


def test_an_interrupt_lets_answers_end(state: Path, tmp_path: Path) -> None:
    import signal

    served = start(tmp_path, "--state", str(state))
    asked = {"model": NAME, "prompt": "x", "max_tokens": 120, "seed": 5, "stream": True}
    with httpx.stream("POST", f"{served.url}/completions", json=asked, timeout=120) as response:
        lines = response.iter_lines()
        first = next(lines)
        served.process.send_signal(signal.SIGINT)
        rest = [line for line in lines if line]
    assert first.startswith("data: ")
    assert rest[-1] == "data: [DONE]"
    assert served.process.wait(60) == 0


def figure(served: Served, name: str) -> float:
    """One figure of /metrics."""
    text = httpx.get(served.url.replace("/v1", "/metrics")).text
    return float(next(line for line in text.splitlines() if line.startswith(name)).rsplit(" ", 1)[1])
