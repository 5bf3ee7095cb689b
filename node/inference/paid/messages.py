"""Everything that payer and server send each other: bounded, typed, and refused where a field is unknown.

Hashes, salts and signatures are 0x-hex in lower case; money is decimal text in wei; times are Unix seconds.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from consensus.inference.task import TOP_P_ALL
from economics.constants import PAYEES_MAX
from node.chain.escrow import Quote
from node.errors import PeerError

PROMPT_CHARACTERS = 32_768
"""Most characters of a prompt; the model's own limit, in tokens, is below."""
PROMPT_TOKENS = 32_768
ANSWER_TOKENS = 4_096
TEMPERATURE_MAX = 10_000
TEXT_CHARACTERS = 1_024
"""Most characters that one token's text may have."""
REASON_CHARACTERS = 300
MESSAGE_BYTES = 8 * PROMPT_CHARACTERS
"""Most bytes of one message or body: a prompt whose every character is escaped."""
REPLY_BYTES = 1 << 20

Address = Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{40}$")]
Hash = Annotated[str, Field(pattern=r"^0x[0-9a-f]{64}$")]
Signature = Annotated[str, Field(pattern=r"^0x[0-9a-f]{130}$")]
Amount = Annotated[str, Field(pattern=r"^[0-9]{1,78}$")]
Tokens = Annotated[int, Field(ge=0, lt=2**32)]
Timestamp = Annotated[int, Field(ge=0, lt=2**63)]
Id = Annotated[int, Field(ge=0, lt=2**31)]


class MessageError(PeerError):
    """The other side sent something that is no message of this protocol."""


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Asked(_Message):
    """What a payer wants: body of POST /ponw/v1/quotes."""

    payer: Address
    signer: Address
    prompt: Annotated[str, Field(min_length=1, max_length=PROMPT_CHARACTERS)]
    max_tokens: Annotated[int, Field(ge=1, le=ANSWER_TOKENS)]
    temperature_milli: Annotated[int, Field(ge=0, le=TEMPERATURE_MAX)] = 0
    top_p_bps: Annotated[int, Field(ge=1, le=TOP_P_ALL)] = TOP_P_ALL


class PayeeMessage(_Message):
    """A holder of layers."""

    account: Address
    layers: Annotated[int, Field(ge=1, lt=2**16)]


class QuoteMessage(_Message):
    """A quote by the contract's names."""

    payer: Address
    signer: Address
    server: Address
    price: Amount
    maxTokens: Tokens  # noqa: N815 - the contract's name
    validUntil: Timestamp  # noqa: N815 - the contract's name
    task: Hash
    embedding: Address
    head: Address
    payees: Annotated[list[PayeeMessage], Field(min_length=1, max_length=PAYEES_MAX)]

    @classmethod
    def of(cls, quote: Quote) -> QuoteMessage:
        """The message that carries `quote`."""
        return cls.model_validate(quote.to_json())

    def quote(self) -> Quote:
        """The quote itself. Raises QuoteError: an address without its checksum, a price beyond 256 bits."""
        return Quote.from_json(self.model_dump())


class Served(_Message):
    """What answers: root of the model, versions of vocabulary and rules, and whether the end token ends the answer."""

    model_root: Hash
    vocabulary: Annotated[int, Field(ge=0, lt=2**16)]
    program: Annotated[int, Field(ge=0, lt=2**16)]
    stop_at_eos: bool


class PriceMessage(_Message):
    """A price in wei a token, and the factors it was made of, as far as a reader wants to know."""

    price: Amount
    busy: Annotated[int, Field(ge=0, lt=2**31)]
    slots: Annotated[int, Field(ge=1, lt=2**31)]
    tier: Annotated[int, Field(ge=1, le=4)]
    finals: Annotated[int, Field(ge=0, lt=2**63)]


class Offer(_Message):
    """Answer to a request for a quote. `signature` is the server's, under the escrow's domain."""

    chain_id: Annotated[int, Field(ge=1, lt=2**63)]
    escrow: Address
    quote: QuoteMessage
    signature: Signature
    served: Served
    prompt_ids: Annotated[list[Id], Field(min_length=1, max_length=PROMPT_TOKENS)]
    price: PriceMessage


class Begin(_Message):
    """A payer's first message: what was asked and quoted, and the block that opened it.

    `voucher` is the signer's voucher for 0 tokens: quote and signature are public once opened, so that without it
    anyone who reads the chain could take the payer's place.
    """

    type: Literal["begin"] = "begin"
    asked: Asked
    quote: QuoteMessage
    signature: Signature
    voucher: Signature
    block: Annotated[int, Field(ge=0, lt=2**63)]


class Voucher(_Message):
    """Pays for the first `tokens` tokens, all earlier vouchers included."""

    type: Literal["voucher"] = "voucher"
    tokens: Tokens
    signature: Signature


class Stop(_Message):
    """The payer wants no more tokens."""

    type: Literal["stop"] = "stop"


class Token(_Message):
    """One token of the answer, counted from 0; `text` is what it adds to the text, maybe nothing yet."""

    type: Literal["token"] = "token"
    index: Tokens
    id: Id
    text: Annotated[str, Field(max_length=TEXT_CHARACTERS)]


class Signed(_Message):
    """The server's signature of its answer as an ANSWER claim (node.chain.court), and what of the claim the payer does
    not know yet: when it was signed, and the root of the velocity beside the weights in the global state."""

    signed_at: Timestamp
    velocity_root: Hash
    signature: Signature


class End(_Message):
    """No more tokens come: `tokens` were sent; the last voucher may follow. `signed`: of every answer that can be
    disputed."""

    type: Literal["end"] = "end"
    reason: Literal["eos", "length", "stopped", "cancelled", "failed"]
    tokens: Tokens
    text: Annotated[str, Field(max_length=TEXT_CHARACTERS)] = ""
    signed: Signed | None = None


class Accepted(_Message):
    """The server keeps a voucher for `tokens` tokens and settles with it."""

    type: Literal["accepted"] = "accepted"
    tokens: Tokens


class Refused(_Message):
    """Nothing is served, or nothing more; `reason` is one sentence."""

    type: Literal["refused"] = "refused"
    reason: Annotated[str, Field(max_length=REASON_CHARACTERS)]


_Kind = TypeVar("_Kind")
FromPayer = Annotated[Voucher | Stop, Field(discriminator="type")]
FromServer = Annotated[Token | End | Accepted | Refused, Field(discriminator="type")]
_payer: TypeAdapter[Voucher | Stop] = TypeAdapter(FromPayer)
_server: TypeAdapter[Token | End | Accepted | Refused] = TypeAdapter(FromServer)
_begin: TypeAdapter[Begin] = TypeAdapter(Begin)
_offer: TypeAdapter[Offer] = TypeAdapter(Offer)


def read_begin(text: str | bytes) -> Begin:
    """A payer's first message. Raises MessageError."""
    return _parse(_begin, text, MESSAGE_BYTES)


def read_from_payer(text: str | bytes) -> Voucher | Stop:
    """A payer's later message. Raises MessageError."""
    return _parse(_payer, text, MESSAGE_BYTES)


def read_from_server(text: str | bytes) -> Token | End | Accepted | Refused:
    """A server's message. Raises MessageError."""
    return _parse(_server, text, MESSAGE_BYTES)


def read_offer(text: str | bytes) -> Offer:
    """A server's quote. Raises MessageError."""
    return _parse(_offer, text, REPLY_BYTES)


def unhex(text: str) -> bytes:
    """The bytes of checked 0x-hex."""
    return bytes.fromhex(text.removeprefix("0x"))


def _parse(adapter: TypeAdapter[_Kind], text: str | bytes, limit: int) -> _Kind:
    if len(text) > limit:
        raise MessageError(f"A message has more than {limit} bytes.", "Use another server.")
    try:
        return adapter.validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "the message"
        message = f"A message is malformed at {place[:80]}: {first['msg'][:120]}."
        raise MessageError(message, "Use another server.") from error
