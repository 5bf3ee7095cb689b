"""Op traces as provers serve them, once they are challenged."""

from __future__ import annotations

import tempfile
from pathlib import Path

from node.artefacts.client import ArtefactClient
from node.errors import PeerError
from node.logs import get_logger

log = get_logger("dispute")
FETCH_SECONDS = 10.0


def fetch_ops(uri: str | None, number: int, step: int, ops: int) -> list[bytes]:
    """The roots of the op trace of a step of a claim of round ``number``; none where it is not served.

    Raises:
        DiskError: this machine's disk.
    """
    if uri is None:
        return []
    with tempfile.TemporaryDirectory() as folder:
        try:
            with ArtefactClient(uri, attempts=1, total_timeout_s=FETCH_SECONDS) as client:
                return client.fetch_ops(client.index(number), step, ops, Path(folder) / "ops")
        except PeerError as error:
            log.info("an op trace is not served; it has to be demanded", uri=uri, step=step, reason=error.message)
            return []
