"""Finding a server: the addresses that nodes announced on chain, asked for their price."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, ValidationError

from node.chain import events
from node.chain.contracts import Contracts
from node.inference.paid.errors import OfferError
from node.inference.paid.fetch import get
from node.inference.paid.messages import MessageError, PriceMessage, Served
from node.logs import get_logger

ASKED_MAX = 16
"""Servers that are asked, those that announced themselves last first."""
_HTTP = ("http://", "https://")

log = get_logger("discovery")


class Listing(BaseModel):
    """Answer of GET /ponw/v1/price."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    price: PriceMessage
    served: Served


@dataclass(frozen=True, slots=True)
class Server:
    """A server that answers for money; `address` is the account that announced it, None where a person named it."""

    uri: str
    listing: Listing
    address: str | None = None


def listing_of(uri: str) -> Listing:
    """What a server asks for a token now.

    Raises:
        OfferError: it does not answer. MessageError: its answer is no price.
    """
    try:
        return Listing.model_validate_json(get(f"{uri}/ponw/v1/price"))
    except ValidationError as error:
        raise MessageError(f"{uri} does not give a price.", "Use another server.") from error


def named(uri: str) -> Server:
    """The server at an address that a person gave. Raises OfferError, MessageError."""
    if not uri.startswith(_HTTP):
        raise OfferError(f"'{uri[:80]}' is not an http:// or https:// address.", "Correct --server.")
    plain = uri.rstrip("/")
    return Server(plain, listing_of(plain))


def announced(contracts: Contracts, first_block: int) -> dict[str, str]:
    """Where each node says that it serves, the newest announcement last."""
    found: dict[str, str] = {}
    for event in contracts.registry.events(first_block, contracts.client.block().number):
        if isinstance(event, events.Announced):
            found.pop(event.node, None)
            found[event.node] = event.uri
    return found


def cheapest(contracts: Contracts, first_block: int) -> Server:
    """The announced server with the lowest price that answers now.

    Raises:
        OfferError: none does.
    """
    found = [(node, uri) for node, uri in announced(contracts, first_block).items() if uri.startswith(_HTTP)]
    newest = found[: -ASKED_MAX - 1 : -1]
    with ThreadPoolExecutor(max(1, len(newest)), "ask") as pool:
        servers = [server for server in pool.map(_try, newest) if server is not None]
    if not servers:
        raise OfferError(
            f"None of the {len(newest)} servers announced on chain answers for money now.",
            "Name one with --server URL, or start your own with `ponw serve`.",
        )
    return min(servers, key=lambda server: (int(server.listing.price.price), server.uri))


def _try(entry: tuple[str, str]) -> Server | None:
    node, uri = entry
    plain = uri.rstrip("/")
    try:
        return Server(plain, listing_of(plain), node)
    except (OfferError, MessageError) as error:
        log.info("a server gives no price", uri=uri, reason=error.message)
        return None
