"""Captures the programs of the presets and writes their roots into consensus/program/known.py.

    python -m tools.programs [PRESET ...]

A preset that is not named keeps the roots it has; tests/program/test_suite.py compares them with the code.
"""

import sys
from dataclasses import fields
from pathlib import Path

from consensus.model.config import PRESETS
from consensus.program.known import KNOWN
from consensus.program.suite import Suite

TARGET = Path(__file__).parents[1] / "consensus" / "program" / "known.py"
TEMPLATE = '''"""The suites of the presets, so that a node need not capture its programs until a dispute does.

Written by tools/programs.py.
"""

from functools import cache
from typing import Final

from consensus.model.config import PRESETS, ModelConfig
from consensus.program.suite import Suite
from consensus.training.resize import Change

_ROOT: Final = bytes.fromhex

KNOWN: Final[dict[ModelConfig, Suite]] = {{
{entries}}}


@cache
def suite_of(config: ModelConfig, change: Change | None = None) -> Suite:
    """What claims about an architecture name, in a round that ends with ``change``; captured where it is no preset."""
    return (KNOWN.get(config) or Suite.of(config)) if change is None else suite_of(config).changing(config, change)
'''


def entry(name: str, suite: Suite) -> str:
    """One preset's lines."""
    values = ((field.name, getattr(suite, field.name)) for field in fields(suite))
    shown = (f"        {key}={_literal(value)},\n" for key, value in values)
    return f'    PRESETS["{name}"]: Suite(\n{"".join(shown)}    ),\n'


def _literal(value: int | bytes) -> str:
    return f'_ROOT("{value.hex()}")' if isinstance(value, bytes) else str(value)


def main(names: list[str]) -> None:
    """Capture the named presets, all by default."""
    chosen = names or list(PRESETS)
    entries = []
    for name, config in PRESETS.items():
        suite = Suite.of(config) if name in chosen else KNOWN.get(config)
        if suite is not None:
            entries.append(entry(name, suite))
    TARGET.write_text(TEMPLATE.format(entries="".join(entries)), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
