"""The pages themselves: built files out of the package, under a policy that lets no foreign script run."""

from __future__ import annotations

import json
import mimetypes
from functools import cache
from pathlib import Path

from fastapi import APIRouter, HTTPException, Response

STATIC = Path(__file__).parent / "static"
INDEX = "index.html"
PAGES = ("", INDEX, "volunteer", "leaderboard", "network", "training", "claims", "vocabulary", "inference")
"""Paths that give the index: the pages' own names (dashboard/src/router.ts)."""
FEATURES = ("node", "gateway", "panel", "inference")
"""What a page may find behind it: a node's home, a gateway, a volunteer on this machine, servers that answer."""
POLICY = "; ".join((
    "default-src 'none'",
    "script-src 'self' 'wasm-unsafe-eval'",
    "worker-src 'self'",
    "style-src 'self'",
    "img-src 'self' data:",
    "font-src 'self'",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
))  # fmt: skip
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
FOREVER = "public, max-age=31536000, immutable"
"""For files whose name carries their hash."""


def pages_router(features: dict[str, bool], prefix: str = "") -> APIRouter:
    """Routes of the pages below `prefix`: files of the package, `dashboard.json`, and the index under each page's name.

    Include it last: its pattern fits every path. `features`: names out of FEATURES that are there.
    """
    unknown = set(features) - set(FEATURES)
    if unknown:
        raise ValueError(f"no such feature: {', '.join(sorted(unknown))}")
    described = json.dumps({name: features.get(name, False) for name in FEATURES})
    router = APIRouter()

    def describe() -> Response:
        return Response(described, media_type="application/json", headers={**HEADERS, "cache-control": "no-store"})

    def page(path: str = "") -> Response:
        found = page_response(path)
        if found is None:
            raise HTTPException(404, "no such page")
        return found

    router.add_api_route(f"{prefix}/dashboard.json", describe, methods=["GET"], include_in_schema=False)
    router.add_api_route(f"{prefix}/{{path:path}}", page, methods=["GET", "HEAD"], include_in_schema=False)
    return router


def page_response(path: str) -> Response | None:
    """One file of the pages; the index under every page's name; None for anything else."""
    name = INDEX if path in PAGES else path
    found = files().get(name)
    if found is None:
        return None
    kept = FOREVER if name.startswith("assets/") else "no-cache"
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return Response(found, media_type=kind, headers={**HEADERS, "cache-control": kept})


@cache
def files() -> dict[str, bytes]:
    """Every file of the pages by its path; read once, a few hundred KiB. No path is ever taken from a request."""
    return {
        path.relative_to(STATIC).as_posix(): path.read_bytes() for path in sorted(STATIC.rglob("*")) if path.is_file()
    }
