"""`ponw data`: the text this node trains on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from node import config
from node.cli.context import Format, FormatOption, print_json, print_table, state_of
from node.data.dataset import find_problems
from node.data.errors import ManifestError, ShardError, ShardProblem
from node.data.manifest import Manifest, load_manifest
from node.data.text import Selection, select
from node.data.writer import Added, add_texts

app = typer.Typer(help="The text this node trains on.", no_args_is_help=True, rich_markup_mode=None)


Paths = Annotated[list[Path], typer.Argument(help="Text files, or folders to search for them.", metavar="PATH...")]
Advance = Callable[[int], None]


@app.command(epilog="Examples: ponw data add book.txt | ponw data add ~/texts more.txt --format json")
def add(ctx: typer.Context, paths: Paths, output: FormatOption = Format.TEXT) -> None:
    """Add UTF-8 text files, or every text file below a folder, to the dataset.

    Files are checked before anything is written, and each is added whole or not at all; text that is there already is
    left alone. The last 5% of every file is held out to measure loss on. All nodes of a network need the same texts.
    """
    folder = _folder(ctx)
    with _progress("Checking", 0, output) as advance:
        selection = select([path.expanduser() for path in paths], advance)
    with _progress("Adding", sum(text.size for text in selection.texts), output) as advance:
        results = add_texts(folder, selection.texts, advance)
    manifest = _require_manifest(folder)
    if output is Format.JSON:
        print_json(_added_json(results, selection, manifest))
    else:
        _print_added(results, selection, manifest)


@app.command("list", epilog="Examples: ponw data list | ponw data list --format json")
def list_shards(ctx: typer.Context, output: FormatOption = Format.TEXT) -> None:
    """List the dataset's shards and its root."""
    manifest = _require_manifest(_folder(ctx))
    if output is Format.JSON:
        shards = [{**shard.model_dump(), "bytes": shard.size} for shard in manifest.shards]
        print_json({"dataset_root": "0x" + manifest.dataset_root, "shards": shards})
        return
    table = Table("shard", "split", "tokens", "size", "source")
    for shard in manifest.shards:
        table.add_row(shard.name, shard.split, f"{shard.tokens:,}", decimal(shard.size), escape(shard.source))
    print_table(table)
    typer.echo(f"dataset root 0x{manifest.dataset_root}")


@app.command(epilog="Examples: ponw data verify | ponw data verify --format json")
def verify(ctx: typer.Context, output: FormatOption = Format.TEXT) -> None:
    """Hash every shard; fails with the name of each that is missing, truncated or changed."""
    folder = _folder(ctx)
    manifest = _require_manifest(folder)
    with _progress("Verifying", sum(shard.size for shard in manifest.shards), output) as advance:
        problems = find_problems(folder, manifest.shards, full=True, progress=advance)
    if output is Format.JSON:
        print_json(_verified_json(manifest, problems))
    if problems:
        raise ShardError(problems)
    if output is Format.TEXT:
        typer.echo(f"All {len(manifest.shards)} shards are intact. Dataset root 0x{manifest.dataset_root}")


def _folder(ctx: typer.Context) -> Path:
    return config.load(state_of(ctx).home).data_path


def _require_manifest(folder: Path) -> Manifest:
    manifest = load_manifest(folder)
    if manifest is None:
        raise ManifestError(f"There is no dataset in {folder}.", "Create one with `ponw init` or `ponw data add`.")
    return manifest


@contextmanager
def _progress(title: str, total: int, output: Format) -> Iterator[Advance]:
    """A bar of bytes on standard error; silent where nobody watches."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    quiet = output is Format.JSON or not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=quiet) as bar:
        task = bar.add_task(title, total=total or None)
        yield lambda done: bar.advance(task, done)


def _added_json(results: list[Added], selection: Selection, manifest: Manifest) -> dict[str, object]:
    return {
        "dataset_root": "0x" + manifest.dataset_root,
        "files": [{"path": str(added.path), "outcome": added.outcome, "tokens": added.tokens} for added in results],
        "skipped": [{"path": str(skipped.path), "reason": skipped.reason} for skipped in selection.skipped],
    }


def _print_added(results: list[Added], selection: Selection, manifest: Manifest) -> None:
    words = {
        "added": "added",
        "present": "is there already, nothing changed",
        "repaired": "had damaged shards, repaired",
    }
    for added in results:
        tokens = f" ({added.tokens:,} tokens)" if added.tokens else ""
        typer.echo(f"{added.path}: {words[added.outcome]}{tokens}")
    for skipped in selection.skipped:
        typer.echo(f"skipped: {skipped.reason}")
    typer.echo(f"dataset root 0x{manifest.dataset_root}")


def _verified_json(manifest: Manifest, problems: list[ShardProblem]) -> dict[str, object]:
    listed = [{"name": p.name, "source": p.source, "kind": p.kind, "detail": p.detail} for p in problems]
    return {"ok": not problems, "dataset_root": "0x" + manifest.dataset_root, "problems": listed}
