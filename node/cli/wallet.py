"""`ponw wallet`: encrypted V3 keys in the home folder."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from node import keys, paths
from node.cli.context import Format, FormatOption, PasswordOption, print_json, print_table
from node.cli.session import settings_of
from node.errors import WalletError

app = typer.Typer(help="Encrypted keys: new, import, list.", no_args_is_help=True, rich_markup_mode=None)


@app.command("new")
def new(ctx: typer.Context, password_file: PasswordOption = None, output: FormatOption = Format.TEXT) -> None:
    """Make a key and store it encrypted.

    Examples:

        ponw wallet new

        ponw wallet new --password-file ~/secret.txt
    """
    settings = settings_of(ctx)
    password = keys.password_source(password_file or settings.password_file)(confirm=True)
    _report(keys.create(settings.keystore_dir, password), output)


@app.command("import")
def import_key(
    ctx: typer.Context,
    source: Annotated[
        Path | None, typer.Argument(help="V3 keystore, or file (mode 600) with a hexadecimal key; a prompt if omitted")
    ] = None,
    password_file: PasswordOption = None,
    output: FormatOption = Format.TEXT,
) -> None:
    """Store an existing key encrypted; nothing in the keystore is ever overwritten.

    Examples:

        ponw wallet import

        ponw wallet import old-keystore.json
    """
    settings = settings_of(ctx)
    read_password = keys.password_source(password_file or settings.password_file)
    if source is not None and _looks_sealed(source):
        _report(keys.import_keystore(settings.keystore_dir, source, read_password()), output)
        return
    text = _prompt_key() if source is None else keys.read_secret_file(source)
    _report(keys.import_private_key(settings.keystore_dir, text, read_password(confirm=True)), output)


@app.command("list")
def list_keys(ctx: typer.Context, output: FormatOption = Format.TEXT) -> None:
    """List the keys; no password is needed.

    Examples:

        ponw wallet list --format json
    """
    found = keys.list_keys(settings_of(ctx).keystore_dir)
    if output is Format.JSON:
        print_json([{"address": key.address, "path": key.path} for key in found])
        return
    table = Table("address", "file")
    for key in found:
        table.add_row(key.address, str(key.path))
    print_table(table)


def _looks_sealed(path: Path) -> bool:
    try:
        return paths.read_bounded(path, keys.KEYSTORE_LIMIT).lstrip().startswith(b"{")
    except FileNotFoundError as error:
        raise WalletError(f"There is no file {path}.", "Name a V3 keystore or a file with a key.") from error


def _prompt_key() -> str:
    if not sys.stdin.isatty():
        raise WalletError("There is no terminal to ask for the key on.", "Name a file: `ponw wallet import FILE`.")
    return getpass.getpass("Private key (64 hexadecimal digits): ")


def _report(key: keys.KeyFile, output: Format) -> None:
    if output is Format.JSON:
        print_json({"address": key.address, "path": key.path})
        return
    typer.echo(f"{key.address} is stored in {key.path}.")
    typer.echo("Keep a copy of that file and its password: nobody can restore them.")
