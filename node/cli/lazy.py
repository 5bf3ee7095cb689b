"""Commands that are imported when they are used: `ponw --help` needs neither web3 nor torch."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from node.errors import UnavailableError

_COMPLETION = frozenset({"install_completion", "show_completion"})


@dataclass(frozen=True)
class LazyCommand:
    """A command's name, the module whose `app` (a typer.Typer) it is, and its line in the list."""

    name: str
    module: str
    help: str

    def load(self) -> Any:
        """Import the module and build the command.

        Raises:
            UnavailableError: the installation has no such module.
        """
        try:
            module = importlib.import_module(self.module)
        except ModuleNotFoundError as error:
            if error.name != self.module:
                raise
            raise UnavailableError(
                f"This installation has no `ponw {self.name}`.", "Install the whole package, or a version that has it."
            ) from error
        command = typer.main.get_command(module.app)
        command.name = self.name
        command.params = [item for item in command.params if item.name not in _COMPLETION]
        return command


def lazy_group(commands: tuple[LazyCommand, ...]) -> type[TyperGroup]:
    """A group class that lists `commands` without importing them."""
    table = {command.name: command for command in commands}

    class LazyGroup(TyperGroup):
        def __init__(self, **attributes: Any) -> None:
            super().__init__(**attributes)
            for command in commands:
                self.commands[command.name] = TyperCommand(name=command.name, help=command.help)

        def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
            name, command, rest = super().resolve_command(ctx, args)
            return name, table[name].load() if name in table else command, rest

    return LazyGroup
