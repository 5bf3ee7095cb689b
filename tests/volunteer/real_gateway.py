"""The real gateway over a micro model, as a process: `python real_gateway.py HOME PORT TEXT OPTIONS`.

The command `ponw gateway` serves the network's presets; their steps take longer than these tests have.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

OPTIONS: dict[str, Any] = {
    "sizes": (64,),
    "prepared": 2,
    "samples_max": 512,
    "pow_difficulty": 4,
    "replicas": 1,
    "recompute_new": 10_000,
    "recompute_trusted": 10_000,
    "aggregate_seconds": 3600,
    "rate_register": "100000/minute",
    "rate_login": "100000/minute",
    "rate_worker": "100000/minute",
    "rate_download": "100000/minute",
    "rate_public": "100000/minute",
}
START_S = 60.0


@dataclass
class RealGateway:
    """Starts, stops and kills the process; its files and its port stay the same."""

    home: Path
    text: Path
    port: int
    options: dict[str, Any] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it is served."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Serve; returns when it answers."""
        import httpx

        words = [sys.executable, __file__, str(self.home), str(self.port), str(self.text)]
        with (self.home.parent / "gateway.log").open("ab") as log:
            self.process = subprocess.Popen([*words, json.dumps({**OPTIONS, **self.options})], stderr=log, stdout=log)
        end = time.monotonic() + START_S
        while True:
            assert self.process.poll() is None, "the gateway ended"
            assert time.monotonic() < end, "the gateway does not answer"
            try:
                if httpx.get(self.url + "/health", timeout=5).is_success:
                    return
            except httpx.HTTPError:
                time.sleep(0.05)

    def stop(self, number: int = signal.SIGKILL) -> None:
        """End it."""
        if self.process is not None:
            os.kill(self.process.pid, number)
            self.process.wait(START_S)
            self.process = None

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Rows of its database."""
        import sqlite3

        with sqlite3.connect(f"file:{self.home / 'gateway.db'}?mode=ro", uri=True) as database:
            database.row_factory = sqlite3.Row
            return [dict(row) for row in database.execute(f"SELECT * FROM {table}")]


def main() -> None:
    """Serve until SIGTERM."""
    import uvicorn

    from consensus.arithmetic import choose_engine
    from consensus.model.config import ModelConfig
    from node.data.corpus import ensure_default
    from node.gateway.app import create_app
    from node.gateway.gateway import open_gateway
    from node.gateway.jobs import Background, Leadership
    from node.gateway.settings import load
    from node.training.work import Workshop

    home, port, text, options = Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), json.loads(sys.argv[4])
    config = ModelConfig("micro", layers=1, width=32, heads=2, seq_len=32, batch=4)
    dataset = ensure_default(text)

    def workshop() -> Workshop:
        return Workshop(config, choose_engine(1), dataset)

    gateway = open_gateway(load(home, **options), workshop())
    gateway.start()
    leadership = Leadership(gateway.storage, home)
    background = Background(gateway.storage, leadership, gateway.jobs(workshop), lambda name: os.abort())
    background.start()
    try:
        uvicorn.run(create_app(gateway), host="127.0.0.1", port=port, log_config=None, ws="websockets-sansio")
    finally:
        background.stop()
        gateway.close()


if __name__ == "__main__":
    main()
