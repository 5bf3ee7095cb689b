"""Requests as OpenAI's clients send them. What would change an answer and is not supported is refused by name."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

BODY_LIMIT = 1 << 20
"""Bytes of a request; the longest context is far below."""
MESSAGES_MAX = 1_000
STOPS_MAX = 4
STOP_LENGTH = 256
_UNSUPPORTED = {
    "best_of": (None, 1),
    "echo": (None, False),
    "frequency_penalty": (None, 0),
    "function_call": (None, "none"),
    "functions": (None, []),
    "logit_bias": (None, {}),
    "logprobs": (None, False),
    "n": (None, 1),
    "presence_penalty": (None, 0),
    "response_format": (None, {"type": "text"}),
    "suffix": (None, ""),
    "tool_choice": (None, "none"),
    "tools": (None, []),
    "top_logprobs": (None,),
}
"""Field → values of it that ask for nothing."""

Stop = Annotated[str, Field(min_length=1, max_length=STOP_LENGTH)]
Token = Annotated[int, Field(ge=0)]
OneText = Annotated[list[str], Field(min_length=1, max_length=1)]
OneOfIds = Annotated[list[list[Token]], Field(min_length=1, max_length=1)]


class StreamOptions(BaseModel):
    """What else a stream carries."""

    include_usage: bool = False


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True)

    model: Annotated[str, Field(max_length=200)]
    max_tokens: Annotated[int, Field(ge=1, le=1 << 20)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    seed: Annotated[int, Field(ge=-(1 << 63), lt=1 << 63)] | None = None
    stop: Stop | Annotated[list[Stop], Field(max_length=STOPS_MAX)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    @model_validator(mode="before")
    @classmethod
    def _supported(cls, data: Any) -> Any:
        for name, harmless in _UNSUPPORTED.items() if isinstance(data, dict) else ():
            if data.get(name) not in harmless:
                raise ValueError(f"'{name}' is not supported by this server")
        return data

    @property
    def stops(self) -> tuple[str, ...]:
        """Texts that end the answer and are not part of it."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def temperature_milli(self) -> int:
        """Thousandths; 1000 if not given."""
        return 1000 if self.temperature is None else round(self.temperature * 1000)

    @property
    def top_p_bps(self) -> int:
        """Basis points, at least one; all if not given."""
        return 10_000 if self.top_p is None else max(1, round(self.top_p * 10_000))

    @property
    def with_usage(self) -> bool:
        """Whether a stream ends with the usage."""
        return self.stream_options is not None and self.stream_options.include_usage


class CompletionRequest(_Request):
    """`POST /v1/completions`: one prompt, as text or as token ids."""

    prompt: str | list[Token] | OneText | OneOfIds


class TextPart(BaseModel):
    """A part of a message; only text is understood."""

    type: Literal["text"]
    text: str


class Message(BaseModel):
    """One message of a conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart]

    @property
    def text(self) -> str:
        """The content as one text."""
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class ChatRequest(_Request):
    """`POST /v1/chat/completions`."""

    messages: Annotated[list[Message], Field(min_length=1, max_length=MESSAGES_MAX)]
    max_completion_tokens: Annotated[int, Field(ge=1, le=1 << 20)] | None = None

    @field_validator("messages")
    @classmethod
    def _bounded(cls, value: list[Message]) -> list[Message]:
        if sum(len(message.text) for message in value) > BODY_LIMIT:
            raise ValueError("the messages are too long")
        return value


CHAT_STOP = "\nuser:"


def chat_prompt(messages: list[Message]) -> str:
    """The conversation as plain text for a model without markers of its own: a line `role: text` a message, then
    `assistant:`. The answer ends where a line of the user would begin (`CHAT_STOP`)."""
    return "".join(f"{message.role}: {message.text}\n" for message in messages) + "assistant:"
