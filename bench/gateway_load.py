"""A gateway under load: VOLUNTEERS at once for SECONDS, then its cached figures against a bare route.

Real processes, sockets, training and database. Writes bench/results/gateway.json and fails where an upload was lost or
counted twice. `--database-url postgresql://…` measures PostgreSQL instead of SQLite.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import psutil
from sqlalchemy import create_engine, text

from node.config import ENV_PREFIX

RESULTS = Path(__file__).parent / "results" / "gateway.json"
PROCESSES = 2
CONNECTIONS, BURST_SECONDS = 16, 8.0
WARM_SECONDS = 45.0
DRAIN_SECONDS = 180.0
SETTINGS = {
    "SIZES": "[8,16]", "PREPARED": "128", "POW_DIFFICULTY": "4", "REPLICAS": "1", "RECOMPUTE_NEW": "300",
    "AGGREGATE_SECONDS": "10", "AGGREGATE_UPDATES": "100", "THREADS": "1", "RATE_REGISTER": "100000/hour",
    "RATE_LOGIN": "100000/minute", "RATE_WORKER": "100000/minute", "RATE_DOWNLOAD": "100000/hour",
    "RATE_PUBLIC": "1000000/minute", "VERSION_LAG": "1000", "ROLLBACK_RISE": "100",
}  # fmt: skip
BARE = """
import sys, uvicorn
from fastapi import FastAPI, Response
app, body = FastAPI(), open(sys.argv[2], "rb").read()
@app.get("/")
def bare() -> Response:
    return Response(body, media_type="application/json")
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error", access_log=False)
"""


class Gateway:
    """A gateway's process and its database."""

    def __init__(self, home: Path, database: str) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(ENV_PREFIX)}
        known = settings_known()
        given = {f"PONW_GATEWAY_{name}": value for name, value in SETTINGS.items() if name.lower() in known}
        words = ["gateway", "run", "--listen", "127.0.0.1:0"]
        if database:
            given["PONW_GATEWAY_DATABASE_URL"] = database
        command = [sys.executable, "-u", "-m", "node.cli.app", "--home", str(home), *words]
        self.log = home.with_suffix(".log")
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, env=clean | given, stdout=log, stderr=subprocess.STDOUT)
        self.database = database or f"sqlite:///{home / 'gateway' / 'gateway.db'}"
        self.url = self._address()

    def _address(self) -> str:
        end = time.monotonic() + 120
        while time.monotonic() < end and self.process.poll() is None:
            found = re.search(r"address: +(http://\S+)", self.log.read_text())
            if found:
                return found[1]
            time.sleep(0.1)  # the pace of asking
        raise SystemExit(f"the gateway did not start:\n{self.log.read_text()[-2000:]}")

    def rss_mb(self) -> float:
        """Resident memory of it and its children, MB."""
        whole = psutil.Process(self.process.pid)
        return sum(one.memory_info().rss for one in (whole, *whole.children(recursive=True))) / 1e6

    def rows(self, sql: str) -> list[Any]:
        """Rows of a query."""
        engine = create_engine(self.database)
        with engine.connect() as connection:
            found = connection.execute(text(sql)).fetchall()
        engine.dispose()
        return list(found)

    def stop(self) -> None:
        """End it gently."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


def settings_known() -> set[str]:
    """Names of a gateway's settings."""
    from node.gateway.settings import GatewaySettings  # noqa: PLC0415 - after the arguments are read

    return set(GatewaySettings.model_fields)


def volunteers(url: str, folder: Path, count: int, seconds: float) -> list[subprocess.Popen[bytes]]:
    """Processes of volunteers under way; each prints its JSON into FOLDER/N.json."""
    running = []
    for at in range(PROCESSES):
        share = count // PROCESSES + (at < count % PROCESSES)
        command = [
            sys.executable,
            "-m",
            "bench.gateway_volunteers",
            url,
            str(folder / str(at)),
            str(share),
            str(seconds),
        ]
        with (folder / f"{at}.json").open("wb") as out:
            running.append(subprocess.Popen(command, stdout=out, env=os.environ | {"OMP_NUM_THREADS": "1"}))
    return running


def drained(gateway: Gateway) -> None:
    """Wait until every upload is decided and every accepted one joined, or DRAIN_SECONDS."""
    end = time.monotonic() + DRAIN_SECONDS
    while time.monotonic() < end:
        (left,) = gateway.rows("SELECT count(*) FROM gradient_updates WHERE state IN ('held', 'accepted')")[0]
        if left == 0:
            return
        time.sleep(1)  # the pace of asking


def books(gateway: Gateway, receipts: dict[str, str]) -> dict[str, Any]:
    """Receipts against rows: what was promised must be there, and be in one aggregation."""
    rows = {row[0]: (row[1], row[2]) for row in gateway.rows("SELECT id, state, aggregation_id FROM gradient_updates")}
    sizes = dict(gateway.rows("SELECT id, updates FROM aggregations"))
    kept = {name: state for name, state in receipts.items() if state != "rejected"}
    lost = [name for name in kept if name not in rows or rows[name][0] in {"held", "accepted"}]
    joined = Counter(aggregation for state, aggregation in rows.values() if state == "aggregated")
    wrong = {name for name in sizes.keys() | joined.keys() if sizes.get(name, 0) != joined.get(name, 0)}
    loose = sum(1 for state, aggregation in rows.values() if (state == "aggregated") != (aggregation is not None))
    return {
        "uploads": len(receipts),
        "states": dict(Counter(state for state, _ in rows.values())),
        "aggregations": len(sizes),
        "lost": len(lost),
        "double_counted": sum(abs(sizes.get(name, 0) - joined.get(name, 0)) for name in wrong) + loose,
    }


async def burst(url: str, seconds: float) -> tuple[float, list[float]]:
    """(requests/s, seconds of each) of a path over CONNECTIONS connections that stay open."""
    host, _, path = url.removeprefix("http://").partition("/")
    name, _, port = host.partition(":")
    request = f"GET /{path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    took: list[float] = []
    end = time.perf_counter() + seconds

    async def one() -> None:
        reader, writer = await asyncio.open_connection(name, int(port))
        while time.perf_counter() < end:
            began = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            if b" 200 " not in head.split(b"\r\n", 1)[0]:
                raise SystemExit(f"{url}: {head[:80]!r}")
            length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
            await reader.readexactly(int(length[1]) if length else 0)
            took.append(time.perf_counter() - began)
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(CONNECTIONS)))
    return len(took) / (time.perf_counter() - began), took


def bare(folder: Path, body: bytes) -> tuple[float, list[float]]:
    """The same burst against a route that only returns the same bytes."""
    (folder / "body.json").write_bytes(body)
    port = free_port()
    process = subprocess.Popen([sys.executable, "-c", BARE, str(port), str(folder / "body.json")])
    try:
        url = f"http://127.0.0.1:{port}/"
        end = time.monotonic() + 30
        while time.monotonic() < end:
            try:
                httpx.get(url, timeout=2)
                break
            except httpx.TransportError:
                time.sleep(0.1)  # the pace of asking
        return asyncio.run(burst(url, BURST_SECONDS))
    finally:
        process.terminate()
        process.wait(10)


def free_port() -> int:
    """A TCP port that is free now."""
    import socket  # noqa: PLC0415 - here only

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def quantile(values: list[float], share: float) -> float:
    """Milliseconds."""
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1e3, 2) if ordered else 0.0


def measure(count: int, seconds: float, database: str) -> dict[str, Any]:
    """One whole run."""
    RESULTS.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="ponw-load-") as temporary:
        folder = Path(temporary)
        gateway = Gateway(folder / "gateway", database)
        try:
            running = volunteers(gateway.url, folder, count, seconds)
            time.sleep(min(WARM_SECONDS, seconds / 3))  # accounts are made, engines are warm
            start = gateway.rss_mb()
            for process in running:
                process.wait()
            middle = gateway.rss_mb()
            said = [json.loads((folder / f"{at}.json").read_text()) for at in range(PROCESSES)]
            drained(gateway)
            receipts = {name: state for one in said for name, state in one["receipts"].items()}
            account = books(gateway, receipts)
            figures = f"{gateway.url}/api/v1/stats/global"
            body = httpx.get(figures, timeout=30).raise_for_status().content
            if account["lost"]:
                shutil.copy(gateway.log, RESULTS.with_suffix(".log"))
                account["idle_reason"] = json.loads(body)["idle_reason"]
            rate, took = asyncio.run(burst(figures, BURST_SECONDS))
            end = gateway.rss_mb()
        finally:
            gateway.stop()
        bare_rate, bare_took = bare(folder, body)
    calls: dict[str, list[float]] = {}
    for one in said:
        for route, times in one["seconds"].items():
            calls.setdefault(route, []).extend(times)
    every = [t for times in calls.values() for t in times]
    return {
        "volunteers": count, "seconds": seconds, "database": database.split(":", maxsplit=1)[0] or "sqlite", **account,
        "failures": [line for one in said for line in one["failures"]],
        "p50_ms": quantile(every, 0.5), "p99_ms": quantile(every, 0.99), "calls": len(every),
        "calls_per_s": round(len(every) / seconds, 1),
        "routes": {
            route: {"calls": len(times), "p50_ms": quantile(times, 0.5), "p99_ms": quantile(times, 0.99)}
            for route, times in sorted(calls.items())
        },
        "req_per_s": round(rate), "bare_req_per_s": round(bare_rate),
        "stats_p50_ms": quantile(took, 0.5), "stats_p99_ms": quantile(took, 0.99),
        "bare_p50_ms": quantile(bare_took, 0.5), "bare_p99_ms": quantile(bare_took, 0.99),
        "rss_mb": {"start": round(start), "middle": round(middle), "end": round(end)},
        "cores": os.cpu_count(),
        "load": [round(value, 1) for value in os.getloadavg()],
    }  # fmt: skip


def main() -> None:
    """Measure, write, and fail where something was lost or counted twice."""
    parser = argparse.ArgumentParser(description="A gateway under load.")
    parser.add_argument("--volunteers", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--database-url", default="")
    given = parser.parse_args()
    found = measure(given.volunteers, given.seconds, given.database_url)
    RESULTS.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps({name: value for name, value in found.items() if name != "routes"}, indent=2))
    for route, figures in found["routes"].items():
        print(f"{route:45} {figures['calls']:7,}  p50 {figures['p50_ms']:8} ms  p99 {figures['p99_ms']:8} ms")
    if found["lost"] or found["double_counted"] or found["failures"] or not found["uploads"]:
        raise SystemExit("something was lost, counted twice, or failed")


if __name__ == "__main__":
    main()
