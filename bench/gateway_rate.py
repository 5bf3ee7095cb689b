"""Requests a second of GET /api/v1/stats/global: python -m bench.gateway_rate http://127.0.0.1:9460

Run it against `ponw gateway run` with PONW_GATEWAY_RATE_PUBLIC=9999999/minute: else the limit of an address answers.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from urllib.parse import urlsplit

CONNECTIONS = 32
SECONDS = 5.0


async def one(host: str, port: int, until: float, times: list[float]) -> int:
    """Ask over one connection, one request after the other; answers other than 200."""
    reader, writer = await asyncio.open_connection(host, port)
    request = f"GET /api/v1/stats/global HTTP/1.1\r\nhost: {host}\r\n\r\n".encode()
    refused = 0
    while time.perf_counter() < until:
        start = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        refused += b" 200 " not in head.split(b"\r\n", 1)[0]
        times.append(time.perf_counter() - start)
    writer.close()
    return refused


async def measure(url: str) -> dict[str, float]:
    """Figures of one run."""
    parts = urlsplit(url)
    times: list[float] = []
    start = time.perf_counter()
    runs = (one(str(parts.hostname), parts.port or 80, start + SECONDS, times) for _ in range(CONNECTIONS))
    refused = sum(await asyncio.gather(*runs))
    took = time.perf_counter() - start
    times.sort()
    at = {f"p{q}_ms": round(1e3 * times[len(times) * q // 100], 2) for q in (50, 95, 99)}
    return {"requests": len(times), "refused": refused, "per_second": round(len(times) / took), **at}


def main() -> None:
    """Print the figures as JSON."""
    print(json.dumps(asyncio.run(measure(sys.argv[1]))))


if __name__ == "__main__":
    main()
