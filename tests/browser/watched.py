"""What a page complains about: errors of scripts, refused policies, failed requests."""

from __future__ import annotations

from typing import Any


class Watched:
    """Listens to one page. Answers that a test provokes are not complaints of the page: see `expect`."""

    def __init__(self, context: Any, page: Any) -> None:
        self._context = context
        self._complaints: list[str] = []
        page.on("pageerror", lambda error: self._complaints.append(f"{page.url}: {error}"))
        page.on("console", self._said)
        page.on("request", self._asked)

    def _said(self, message: Any) -> None:
        # What the network refuses, the page shows to its reader; a broken script or policy it does not.
        told = ("Failed to load resource", "WebSocket connection")
        if message.type == "error" and not any(words in message.text for words in told):
            self._complaints.append(f"console: {message.text}")

    def _asked(self, request: Any) -> None:
        if not request.url.startswith(("http://127.0.0.1:", "data:", "blob:")):
            self._complaints.append(f"asked {request.url}: the pages must work without the internet")

    def end(self) -> list[str]:
        """Close the page; what it complained about."""
        self._context.close()
        return self._complaints


def describe_violations(violations: list[dict[str, Any]]) -> str:
    """axe's findings, a line each."""
    return "\n".join(
        f"{one['id']} ({one['impact']}): {one['help']}: {[node['html'][:160] for node in one['nodes'][:3]]}"
        f" {[part['message'] for node in one['nodes'][:1] for part in node['any']][:2]}"
        for one in violations
    )
