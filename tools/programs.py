"""Captures the programs of the presets and writes their roots into consensus/program/known.py.

    python -m tools.programs [--outer] [PRESET ...]

A preset that is not named keeps the roots it has; tests/program/test_suite.py compares them with the code. With --outer
only the outer steps are captured, which takes seconds where a step of the largest preset takes many minutes.
"""

import sys
from dataclasses import fields, replace
from pathlib import Path

from consensus.commitments import tree
from consensus.model.config import PRESETS, ModelConfig
from consensus.program.known import KNOWN
from consensus.program.suite import Suite, outer_leaves

TARGET = Path(__file__).parents[1] / "consensus" / "program" / "known.py"
TEMPLATE = '''"""The suites of the presets, so that a node need not capture its programs until a dispute does.

Written by tools/programs.py.
"""

from functools import cache
from typing import Final

from consensus.model.config import PRESETS, ModelConfig
from consensus.program.suite import Suite
from consensus.training.growth import Transition

_ROOT: Final = bytes.fromhex

KNOWN: Final[dict[ModelConfig, Suite]] = {{
{entries}}}


@cache
def suite_of(config: ModelConfig, change: Transition | None = None) -> Suite:
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


def captured(config: ModelConfig, outer_only: bool) -> Suite:
    """The suite of an architecture as the code has it; ``outer_only``: but for the outer steps, as it is on file."""
    if not outer_only:
        return Suite.of(config)
    known = KNOWN[config]
    return replace(known, outer_root=tree.root(outer_leaves(config, known.outer_count)))


def main(names: list[str]) -> None:
    """Capture the named presets, all by default."""
    outer_only = "--outer" in names
    chosen = [name for name in names if name != "--outer"] or list(PRESETS)
    entries = []
    for name, config in PRESETS.items():
        suite = captured(config, outer_only) if name in chosen else KNOWN.get(config)
        if suite is not None:
            entries.append(entry(name, suite))
    TARGET.write_text(TEMPLATE.format(entries="".join(entries)), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
