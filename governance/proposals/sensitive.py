"""Tokens that must not become one id: secrets by name, and the shapes of numbers that identify a person or an account.

A rule over a token's bytes, case apart. Names are looked for word by word, a word being letters without a break: "key"
and "API key" are refused, "monkey" and "keyboard" are not; a word made of such names only ("secretkey", "accesstokens")
is refused like them. Of numbers the shape is enough, for a token holds a part of what it was cut from.
"""

import re
from typing import Final

_NAMES: Final = frozenset({
    "api", "apikey", "apikeys", "apis", "credential", "credentials", "cvv", "iban", "key", "keys", "mnemonic",
    "mnemonics", "passcode", "passcodes", "passphrase", "passphrases", "passwd", "password", "passwords", "privkey",
    "privkeys", "pwd", "secret", "secrets", "seedphrase", "ssn", "token", "tokens",
})  # fmt: skip
_BESIDE: Final = frozenset({
    "access", "admin", "app", "auth", "bearer", "client", "device", "login", "master", "my", "phrase", "private",
    "root", "seed", "user",
})  # fmt: skip
"""Words that are harmless alone, but not beside a name in one word."""

_LETTERS: Final = re.compile(rb"[A-Za-z]+")
_SHAPES: Final = (
    ("an e-mail address", re.compile(rb"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+")),
    ("a card number", re.compile(rb"(?<![0-9])(?:[0-9][ -]?){12,18}[0-9](?![0-9])")),
    ("a social security number", re.compile(rb"(?<![0-9])[0-9]{3}[- ][0-9]{2}[- ][0-9]{4}(?![0-9])")),
    ("a bank account (IBAN)", re.compile(rb"(?<![A-Z0-9])[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,}")),
    ("a long row of digits", re.compile(rb"[0-9]{7,}|(?:[0-9][ .-]?){9,}")),
    ("a hexadecimal secret", re.compile(rb"0x[0-9A-Fa-f]{8,}|(?=[A-Fa-f]*[0-9])[0-9A-Fa-f]{16,}")),
)


def sensitive(token: bytes) -> str | None:
    """What makes a token sensitive; None where nothing does."""
    for found in _LETTERS.findall(token):
        word = found.decode().lower()
        if _names_something(word):
            return f'the word "{word}"'
    for what, shape in _SHAPES:
        if shape.search(token):
            return f"the shape of {what}"
    return None


def _names_something(word: str) -> bool:
    """Whether a word consists of names and their companions, with one name at least."""
    parts = _NAMES | _BESIDE
    reached: dict[int, set[bool]] = {0: {False}}
    for at in range(len(word)):
        for part in parts if at in reached else ():
            if word.startswith(part, at):
                reached.setdefault(at + len(part), set()).update(named or part in _NAMES for named in reached[at])
    return True in reached.get(len(word), set())
