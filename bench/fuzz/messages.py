"""Messages that no honest peer sends, from a seed: made of the protobuf descriptors and of valid messages."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

DEPTH: Final = 3
"""Levels of messages in messages that an absurd one is filled to."""
LONG: Final = 3_000
"""Bytes of a long field; now and then one has a hundred times as many."""
STREAM_BYTES: Final = 1 << 20
"""What stands for an endless stream: no protocol takes so much without an answer."""
_INTEGERS: Final = (0, 1, 2, 127, 128, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1)


def varint(number: int) -> bytes:
    """LEB128, as protobuf and libp2p write lengths."""
    head = b""
    while number > 127:
        head, number = head + bytes([number & 127 | 128]), number >> 7
    return head + bytes([number])


@dataclass(frozen=True)
class Framing:
    """How a protocol says how long a message is, and the largest length it can say."""

    head: Callable[[int], bytes]
    most: int

    def whole(self, body: bytes) -> bytes:
        """The message behind its length."""
        return self.head(len(body)) + body


U32: Final = Framing(lambda size: size.to_bytes(4, "big"), 2**32 - 1)
VARINT: Final = Framing(varint, 2**63 - 1)


class Junk:
    """Deterministic by its seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311 - which junk is sent

    def message(self, valid: Message, framing: Framing, others: tuple[Message, ...]) -> tuple[str, bytes]:
        """(kind of junk, bytes on the wire). ``others``: valid messages of other protocols."""
        name = self.random.choice(_WEIGHTED)
        return name, _SHAPES[name](self, valid, framing, others)

    def body(self, valid: Message, others: tuple[Message, ...]) -> bytes:
        """A malformed body alone, for what travels inside a valid message."""
        name = self.random.choice(("random", "truncated", "flipped", "absurd", "other_type"))
        return _SHAPES[name](self, valid, Framing(lambda size: b"", 0), others)

    def some(self, most: int) -> bytes:
        """Up to so many random bytes."""
        return self.random.randbytes(self.random.randrange(most + 1))

    def absurd(self, kind: type[Message], depth: int = 0) -> Message:
        """A well encoded message whose fields hold what nobody means."""
        made = kind()
        for field in made.DESCRIPTOR.fields:
            if self.random.random() < 0.7:
                self._fill(made, field, depth)
        return made

    def _fill(self, made: Message, field: FieldDescriptor, depth: int) -> None:
        repeated = field.is_repeated
        times = self.random.choice((1, 3, 20, 300)) if repeated else 1
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            if depth < DEPTH:
                for _ in range(min(times, 20)):
                    inner = self.absurd(field.message_type._concrete_class, depth + 1)
                    target = getattr(made, field.name)
                    (target.add() if repeated else target).CopyFrom(inner)
            return
        values = [self._value(field) for _ in range(times)]
        if repeated:
            getattr(made, field.name).extend(values)
        else:
            setattr(made, field.name, values[0])

    def _value(self, field: FieldDescriptor) -> Any:
        if field.type == FieldDescriptor.TYPE_BOOL:
            return self.random.random() < 0.5
        if field.type == FieldDescriptor.TYPE_BYTES:
            return self.random.randbytes(self._length())
        if field.type == FieldDescriptor.TYPE_STRING:
            length = self._length()
            some = "".join(self.random.choices("/aZ0é\x00\n☃", k=min(length, 97)))
            return (some * (length // 97 + 1))[:length]
        if field.type == FieldDescriptor.TYPE_ENUM:  # proto2 enums take their own numbers only
            numbers = [value.number for value in field.enum_type.values] if field.enum_type else [0]
            closed = field.enum_type is not None and field.enum_type.is_closed
            return self.random.choice(numbers if closed else [*numbers, 99, 2**31 - 1])
        return self._integer(field)

    def _length(self) -> int:
        return self.random.choice((0, 1, 19, 20, 21, 32, 33, 65, 64, LONG)) * self.random.choice((1,) * 99 + (100,))

    def _integer(self, field: FieldDescriptor) -> int:
        wide = field.cpp_type in (FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64)
        signed = field.cpp_type in (FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_INT32)
        most = 2 ** ((64 if wide else 32) - (1 if signed else 0)) - 1
        return self.random.choice([n for n in _INTEGERS if n <= most])


def _random(junk: Junk, valid: Message, framing: Framing, others: tuple[Message, ...]) -> bytes:
    return framing.whole(junk.some(300))


def _truncated(junk: Junk, valid: Message, framing: Framing, others: tuple[Message, ...]) -> bytes:
    data = valid.SerializeToString()
    return framing.whole(data[: junk.random.randrange(len(data))])


def _flipped(junk: Junk, valid: Message, framing: Framing, others: tuple[Message, ...]) -> bytes:
    data = bytearray(valid.SerializeToString())
    for _ in range(junk.random.randint(1, 8)):
        data[junk.random.randrange(len(data))] ^= 1 << junk.random.randrange(8)
    return framing.whole(bytes(data))


def _short_length(junk: Junk, valid: Message, framing: Framing, others: tuple[Message, ...]) -> bytes:
    data = valid.SerializeToString()
    return framing.head(junk.random.randrange(len(data))) + data


def _long_length(junk: Junk, valid: Message, framing: Framing, others: tuple[Message, ...]) -> bytes:
    data = valid.SerializeToString()
    return framing.head(len(data) + junk.random.randint(1, 200)) + data


def _huge_length(junk: Junk, valid: Message, framing: Framing, others: tuple[Message, ...]) -> bytes:
    return framing.head(junk.random.choice((1 << 24, 1 << 28, (1 << 31) - 1, framing.most))) + junk.some(100)


def _endless(junk: Junk, valid: Message, framing: Framing, others: tuple[Message, ...]) -> bytes:
    return junk.random.randbytes(64 << 10) * (STREAM_BYTES >> 16)


def _wrong_versions(junk: Junk, valid: Message, framing: Framing, others: tuple[Message, ...]) -> bytes:
    """Another network, architecture, vocabulary or quorum, wherever in the message it is named."""
    made = type(valid)()
    made.CopyFrom(valid)
    for part in _parts(made):
        if part.DESCRIPTOR.name == "Versions":
            name = junk.random.choice(("network", "arch_version", "vocab_version", "quorum"))
            setattr(part, name, junk.random.randrange(2**32) if name.endswith("version") else junk.some(40))
    return framing.whole(made.SerializeToString())


def _absurd(junk: Junk, valid: Message, framing: Framing, others: tuple[Message, ...]) -> bytes:
    return framing.whole(junk.absurd(type(valid)).SerializeToString())


def _other_type(junk: Junk, valid: Message, framing: Framing, others: tuple[Message, ...]) -> bytes:
    return framing.whole(junk.random.choice(others).SerializeToString())


def _empty(junk: Junk, valid: Message, framing: Framing, others: tuple[Message, ...]) -> bytes:
    return framing.whole(b"")


def _parts(message: Message) -> list[Message]:
    found = [message]
    for field, value in message.ListFields():
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            for one in value if field.is_repeated else [value]:
                found += _parts(one)
    return found


_SHAPES: Final = {
    "random": _random,
    "truncated": _truncated,
    "flipped": _flipped,
    "short_length": _short_length,
    "long_length": _long_length,
    "huge_length": _huge_length,
    "endless": _endless,
    "wrong_versions": _wrong_versions,
    "absurd": _absurd,
    "other_type": _other_type,
    "empty": _empty,
}
_WEIGHTED: Final = [name for name in _SHAPES if name != "endless"] * 20 + ["endless"]
