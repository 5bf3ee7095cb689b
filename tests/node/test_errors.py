"""The exception tree and its exit codes."""

from collections.abc import Iterator

import pytest

from node import errors
from node.errors import EXIT_HELP, ExitCode, PonwError


def _tree(kind: type[PonwError]) -> Iterator[type[PonwError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _tree(child)


def test_every_code_has_help_is_unique_and_non_zero() -> None:
    assert set(EXIT_HELP) == set(ExitCode)
    values = [code.value for code in ExitCode]
    assert len(values) == len(set(values))
    assert all(0 < value < 256 for value in values)
    assert all(len(text) > 20 and text.endswith(".") for text in EXIT_HELP.values())


@pytest.mark.parametrize("kind", list(_tree(PonwError)), ids=lambda kind: kind.__name__)
def test_every_class_has_a_documented_code(kind: type[PonwError]) -> None:
    assert kind.exit_code in EXIT_HELP
    assert kind.__doc__


def test_message_and_hint_are_kept() -> None:
    error = errors.RevertError("It is refused.", "Do that.", name="SlotBusy", arguments={"a": 1})
    assert (str(error), error.hint, error.name, error.arguments) == ("It is refused.", "Do that.", "SlotBusy", {"a": 1})
