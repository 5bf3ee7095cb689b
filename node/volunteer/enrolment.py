"""Becoming a volunteer: an account under a key made here, paid for with a little work."""

from __future__ import annotations

import hashlib
from typing import Final

from node.gateway.schemas import Hardware, Register
from node.volunteer.api import Gateway
from node.volunteer.board import Board
from node.volunteer.control import Control
from node.volunteer.errors import AnswerError, RefusedError

MOST_BITS: Final = 32
"""Beyond this the work takes hours; no gateway asks for it in earnest."""
_UNKNOWN: Final = {401, 404}
_CHECK_EVERY: Final = 1 << 14


def solve(challenge: bytes, key_hash: bytes, difficulty: int, control: Control) -> int:
    """The least nonce with sha256(challenge ‖ key_hash ‖ nonce u64 BE) beginning with `difficulty` zero bits.

    Raises StoppedError.
    """
    stem = hashlib.sha256(challenge + key_hash)
    bound = 1 << (256 - difficulty)
    nonce = 0
    while True:
        if nonce % _CHECK_EVERY == 0:
            control.check()
        trial = stem.copy()
        trial.update(nonce.to_bytes(8, "big"))
        if int.from_bytes(trial.digest(), "big") < bound:
            return nonce
        nonce += 1


def sign_in(
    gateway: Gateway, key: str, username: str | None, hardware: Hardware, board: Board, control: Control
) -> str:
    """Log in, registering the key first where the gateway does not know it. Gives the volunteer's id.

    Raises what `Gateway` does; AnswerError where the proof of work asked for is out of all proportion.
    """
    try:
        return _logged_in(gateway, board)
    except RefusedError as error:
        if error.status not in _UNKNOWN:
            raise
    asked = gateway.challenge()
    if asked.difficulty > MOST_BITS:
        raise AnswerError(
            f"The gateway asks for {asked.difficulty} bits of work to register; {MOST_BITS} is the most that is done.",
            "Tell its operator.",
        )
    board.log(f"Registering: a proof of work of {asked.difficulty} bits")
    nonce = solve(bytes.fromhex(asked.challenge), hashlib.sha256(key.encode()).digest(), asked.difficulty, control)
    made = gateway.register(
        Register(api_key=key, username=username, hardware=hardware, ticket=asked.ticket, nonce=nonce)
    )
    board.log(f"Registered as {made.username}", "good")
    return _logged_in(gateway, board)


def _logged_in(gateway: Gateway, board: Board) -> str:
    session = gateway.login()
    board.update(worker_id=session.worker_id, connected=True)
    return session.worker_id
