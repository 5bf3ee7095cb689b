"""`ponw gateway`: let volunteers train over HTTP, and look after what they bring."""

from __future__ import annotations

import os
import time
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from node.cli.context import Format, FormatOption, print_json, print_table
from node.cli.session import settings_of

if TYPE_CHECKING:
    from node.gateway.gateway import Gateway
    from node.gateway.settings import GatewaySettings
    from node.gateway.storage.store import Storage

app = typer.Typer(
    help="The gateway for volunteers: run, status, workers, versions, rollback, resume.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
DatabaseOption = Annotated[
    str | None, typer.Option("--database-url", help="postgresql://… or sqlite:///… (PONW_GATEWAY_DATABASE_URL)")
]
BlobsOption = Annotated[
    str | None, typer.Option("--blobs", help="file://… or s3://bucket/prefix (PONW_GATEWAY_BLOBS_URL)")
]
RedisOption = Annotated[str | None, typer.Option("--redis-url", help="redis://… (PONW_GATEWAY_REDIS_URL)")]
LimitOption = Annotated[int, typer.Option("--limit", min=1, max=10_000, help="rows at most")]


class Codec(StrEnum):
    """Encodings of updates."""

    TOPK = "topk"
    INT8 = "int8"
    TWOBIT = "twobit"
    RAW = "raw"


@app.command()
def run(
    ctx: typer.Context,
    listen: Annotated[str | None, typer.Option("--listen", help="host:port; port 0 picks a free one")] = None,
    database_url: DatabaseOption = None,
    blobs: BlobsOption = None,
    redis_url: RedisOption = None,
    workers: Annotated[int | None, typer.Option("--workers", min=1, max=64, help="processes that serve")] = None,
    codec: Annotated[Codec | None, typer.Option("--codec", help="encoding of updates")] = None,
    replicas: Annotated[
        int | None, typer.Option("--replicas", min=1, max=16, help="equal results asked of new volunteers")
    ] = None,
) -> None:
    """Hand out batches to volunteers, check what comes back, and join it into versions of the model.

    Without options everything stands in the home folder: SQLite, a folder of blobs. With several --workers, or gateways
    on several hosts, give a PostgreSQL and a Redis; passwords in URLs belong into the variables, not on the command
    line. Every other setting is a variable too: see docs/GATEWAY.md. Ctrl-C ends what is under way, then the gateway.

    Examples:

        ponw gateway run

        ponw gateway run --listen 0.0.0.0:9460 --workers 4 --redis-url redis://localhost

        PONW_GATEWAY_DATABASE_URL=postgresql://ponw:secret@db/ponw ponw gateway run --blobs s3://models/ponw
    """
    from node.gateway.serving import run as run_gateway  # noqa: PLC0415 - torch takes seconds to import
    from node.inference.serving import listen_at  # noqa: PLC0415

    host, port = _address(listen)
    chosen = {"host": host, "port": port, "workers": workers, "codec": codec, "replicas": replicas}
    settings = _load(ctx, database_url, blobs, redis_url=redis_url, **chosen)
    listener, uri = listen_at(settings.host, settings.port)

    def ready(gateway: Gateway) -> None:
        current = gateway.registry.current()
        typer.echo(f"model:     {gateway.workshop.config.name}, {'no version' if current is None else current.name}")
        typer.echo(f"database:  {'PostgreSQL' if gateway.storage.postgres else settings.database}")
        typer.echo(f"operator:  token in {settings.home / 'operator.token'}")
        typer.echo(f"address:   {uri}")

    run_gateway(settings, listener, ready)
    typer.echo("Ended.")


@app.command()
def status(
    ctx: typer.Context,
    database_url: DatabaseOption = None,
    output: FormatOption = Format.TEXT,
) -> None:
    """What the network of volunteers does, and, where it does nothing, why.

    Examples:

        ponw gateway status

        ponw gateway status --format json
    """
    from consensus.model.config import PRESETS  # noqa: PLC0415
    from node.gateway.stats import Statistics  # noqa: PLC0415

    settings = _load(ctx, database_url)
    with _storage(settings) as storage:
        now = Statistics(storage, settings, PRESETS[settings.preset].seq_len).everything()
    if output is Format.JSON:
        print_json(now.model_dump())
        return
    typer.echo(f"version:     {now.version or 'none'}")
    typer.echo(f"volunteers:  {now.active_workers} active of {now.total_workers}")
    typer.echo(f"batches:     {now.batches_completed} completed, {now.batches_pending} pending")
    typer.echo(f"tokens:      {now.tokens}, {now.tokens_per_s:.0f} a second lately")
    typer.echo(f"held-out:    {'not measured' if now.heldout_loss is None else f'{now.heldout_loss:.4f} nats'}")
    typer.echo(f"idle:        {now.idle_reason or 'no'}")


@app.command()
def workers(
    ctx: typer.Context,
    database_url: DatabaseOption = None,
    limit: LimitOption = 50,
    output: FormatOption = Format.TEXT,
) -> None:
    """Volunteers, the ones seen last first.

    Examples:

        ponw gateway workers --limit 20

        ponw gateway workers --format json
    """
    rows = _workers(ctx, database_url, limit)
    if output is Format.JSON:
        print_json(rows)
    elif not rows:
        typer.echo("No volunteer has registered yet.")
    else:
        _draw(rows)


@app.command()
def versions(
    ctx: typer.Context,
    database_url: DatabaseOption = None,
    limit: LimitOption = 50,
    output: FormatOption = Format.TEXT,
) -> None:
    """Versions of the model, the newest first.

    Examples:

        ponw gateway versions

        ponw gateway versions --limit 5 --format json
    """
    from sqlmodel import col, select  # noqa: PLC0415

    from node.gateway.storage.tables import ModelVersion  # noqa: PLC0415

    with _storage(_load(ctx, database_url)) as storage, storage.read() as session:
        found = session.exec(select(ModelVersion).order_by(col(ModelVersion.number).desc()).limit(limit))
        rows = [
            {
                "version": row.name,
                "active": row.active,
                "source": row.source,
                "parent": None if row.parent is None else f"v{row.parent}",
                "heldout_loss": row.metrics.get("heldout_loss"),
                "updates": row.metrics.get("updates"),
                "sha256": row.sha256.hex(),
                "size": row.size,
                "age_s": int(time.time()) - row.created_at // 1_000_000,
            }
            for row in found
        ]
    if output is Format.JSON:
        print_json(rows)
    elif not rows:
        typer.echo("There is no version yet; `ponw gateway run` makes the first.")
    else:
        _draw(rows)


@app.command()
def rollback(
    ctx: typer.Context,
    version: Annotated[str, typer.Argument(help="name of the version to go back to, as v12")],
    database_url: DatabaseOption = None,
    blobs: BlobsOption = None,
    redis_url: RedisOption = None,
    reason: Annotated[str, typer.Option("--reason", help="kept with the new version")] = "the operator asked for it",
) -> None:
    """Make a new version with the weights of an older one. What was trained since and not aggregated is rejected.

    Works beside a running gateway; volunteers are told when Redis is given.

    Examples:

        ponw gateway rollback v12

        ponw gateway rollback v12 --reason "loss rose"
    """
    from consensus.model.config import PRESETS  # noqa: PLC0415
    from node.gateway.blobs import BlobStore  # noqa: PLC0415
    from node.gateway.bus import BusEvents, LocalBus, RedisBus  # noqa: PLC0415
    from node.gateway.registry import ModelRegistry  # noqa: PLC0415

    settings = _load(ctx, database_url, blobs, redis_url=redis_url)
    with _storage(settings) as storage:
        bus = RedisBus(settings.redis_url) if settings.redis_url else LocalBus()
        registry = ModelRegistry(
            storage,
            BlobStore(settings.blobs),
            PRESETS[settings.preset],
            BusEvents(bus),
            settings.home,
            settings.version_lag,
        )
        made = registry.rollback(version, reason)
        bus.close()
    typer.echo(f"{made.name} is active, with the weights of {version}.")


@app.command()
def resume(ctx: typer.Context, database_url: DatabaseOption = None) -> None:
    """Let updates be joined again after the aggregator has paused itself.

    Example:

        ponw gateway resume
    """
    from node.gateway.jobs import set_flag  # noqa: PLC0415
    from node.gateway.ports import PAUSED_FLAG  # noqa: PLC0415

    with _storage(_load(ctx, database_url)) as storage, storage.write() as session:
        set_flag(session, PAUSED_FLAG, {"paused": False, "reason": ""}, storage.now(session))
    typer.echo("Updates are joined again.")


def _address(listen: str | None) -> tuple[str | None, int | None]:
    if listen is None:
        return None, None
    host, colon, port = listen.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65_535:
        raise typer.BadParameter("host:port, as 0.0.0.0:9460", param_hint="--listen")
    return host.strip("[]"), int(port)


def _load(ctx: typer.Context, database_url: str | None, blobs: str | None = None, **given: Any) -> GatewaySettings:
    from node.gateway.settings import ENV_PREFIX, load  # noqa: PLC0415 - only where a gateway is looked at

    node = settings_of(ctx)
    shared = {"preset": node.preset, "data_dir": node.data_path}
    ours = {name: value for name, value in shared.items() if ENV_PREFIX + name.upper() not in os.environ}
    return load(node.home / "gateway", database_url=database_url, blobs_url=blobs, **ours, **given)


def _storage(settings: GatewaySettings) -> Storage:
    from node.gateway.storage.store import Storage  # noqa: PLC0415

    return Storage.open(settings.database)


def _workers(ctx: typer.Context, database_url: str | None, limit: int) -> list[dict[str, Any]]:
    from sqlmodel import col, select  # noqa: PLC0415

    from node.gateway.storage.tables import Worker  # noqa: PLC0415

    with _storage(_load(ctx, database_url)) as storage, storage.read() as session:
        now = storage.now(session)
        found = session.exec(select(Worker).order_by(col(Worker.last_seen).desc()).limit(limit))
        return [
            {
                "username": row.username,
                "worker_id": row.id,
                "batches": row.batches,
                "rejected": row.rejected,
                "tokens": row.tokens,
                "reputation": row.reputation,
                "seen_s_ago": max(0, (now - row.last_seen) // 1_000_000),
                "quarantine": row.quarantine_reason if (row.quarantined_until or 0) > now else "",
            }
            for row in found
        ]


def _draw(rows: list[dict[str, Any]]) -> None:
    from rich.table import Table  # noqa: PLC0415 - rich only where something is drawn

    table = Table(*rows[0])
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row.values()))
    print_table(table)
