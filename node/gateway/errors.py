"""What can go wrong inside a gateway; what clients are told stands in `problems`."""

from __future__ import annotations

from node.errors import ConfigError, ExitCode, PonwError


class BlobError(PonwError):
    """The blob store does not answer, lacks a key, or holds other bytes than the key says."""

    exit_code = ExitCode.DISK


class GatewayConfigError(ConfigError):
    """A setting of the gateway does not fit the others."""
