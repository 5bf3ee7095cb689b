"""`ponw serve`: answer with the exact model, behind the interface that OpenAI's clients speak."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from node.cli.context import PasswordOption
from node.cli.session import read_contracts, settings_of, signing_contracts

app = typer.Typer(rich_markup_mode=None)
DEFAULT_PORT = 9450


class Preset(StrEnum):
    """Model sizes."""

    TINY = "tiny"
    SMALL = "small"
    BASE = "base"


@app.command()
def serve(
    ctx: typer.Context,
    host: Annotated[str, typer.Option("--host", help="address to listen at")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="its port; 0 picks a free one")] = DEFAULT_PORT,
    preset: Annotated[Preset | None, typer.Option("--preset", help="model size; else the configured one")] = None,
    state: Annotated[Path | None, typer.Option("--state", help="safetensors file with the weights to serve")] = None,
    threads: Annotated[int, typer.Option("--threads", min=0, max=1024, help="compute threads; 0: as configured")] = 0,
    slots: Annotated[int, typer.Option("--slots", min=1, max=64, help="answers that are made at once")] = 16,
    queue: Annotated[int, typer.Option("--queue", min=0, max=10_000, help="requests that may wait")] = 256,
    api_key_file: Annotated[
        Path | None, typer.Option("--api-key-file", help="file of API keys, one a line; required beyond loopback")
    ] = None,
    paid: Annotated[bool, typer.Option("--paid", help="also answer for money; settles without asking")] = False,
    announce: Annotated[str | None, typer.Option("--announce", help="publish this address on chain for payers")] = None,
    password_file: PasswordOption = None,
) -> None:
    """Serve the model: the newest global state in the home folder, or a file, or the start of a network.

    Speaks /v1/models, /v1/completions and /v1/chat/completions as OpenAI's clients do, and /healthz and /metrics. The
    same seed gives the same answer on every machine. Ctrl-C takes no new request and ends those under way.

    With --paid, `ponw infer` can pay for answers: quotes are signed with the wallet's key, vouchers are kept in the
    home's database and settled on chain. An account has one address on chain: --announce takes the place of the one
    under which `ponw run` serves artefacts, so use another account than that.

    Examples:

        ponw serve

        ponw serve --preset small --state global.safetensors --port 8000

        ponw serve --host 0.0.0.0 --api-key-file keys.txt --slots 32

        ponw serve --paid --password-file password.txt
    """
    from consensus.arithmetic import set_threads  # noqa: PLC0415 - torch takes seconds to import
    from consensus.inference.choice import choose_decoder  # noqa: PLC0415
    from node.inference.model import load_model  # noqa: PLC0415
    from node.inference.openai.app import create_app  # noqa: PLC0415
    from node.inference.openai.keys import keys_for  # noqa: PLC0415
    from node.inference.service import InferenceService, step_ms  # noqa: PLC0415
    from node.inference.serving import listen_at, run_until_signal  # noqa: PLC0415
    from node.inference.versions import known_versions  # noqa: PLC0415

    settings = settings_of(ctx)
    if announce and not paid:
        raise typer.BadParameter("only a server with --paid is announced", param_hint="--announce")
    contracts = signing_contracts(settings, password_file, yes=True) if paid else None
    keys = keys_for(host, api_key_file)
    versions = known_versions(settings, read_contracts)
    model = load_model(preset.value if preset else settings.preset, settings.home, state, versions)
    count = threads or settings.threads or 0
    set_threads(count)
    decoder = choose_decoder(model.config, model.weights, slots, count, settings.max_isa, time.perf_counter)
    listener, uri = listen_at(host, port)
    service = InferenceService(model, decoder, queue, step_ms(decoder, time.perf_counter))
    typer.echo(f"model:   {model.name}, {model.origin}")
    typer.echo(f"root:    0x{model.root.hex()}, version {model.tokenizer.version} of the vocabulary")
    typer.echo(f"kernel:  {decoder.name}, {slots} answers at once, context of {model.config.seq_len} tokens")
    typer.echo(f"address: {uri}/v1{'' if keys is None else ' (with an API key)'}")
    try:
        if contracts is None:
            run_until_signal(create_app(service, keys), listener)
        else:
            from node.inference.paid.serving import paid_router  # noqa: PLC0415

            with paid_router(settings, contracts, service, model) as router:
                if announce:
                    contracts.registry.announce(announce)
                typer.echo(f"paid:    {uri}/ponw/v1, to {contracts.client.address}")
                run_until_signal(create_app(service, keys, [router]), listener, sockets=True)
    finally:
        service.close()
    typer.echo("Ended.")
