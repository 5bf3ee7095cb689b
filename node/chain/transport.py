"""The RPC endpoint as a web3 provider: transport failures are retried, then become one sentence without URL keys."""

from __future__ import annotations

import json
from typing import Any

import requests
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, stop_after_delay, wait_exponential_jitter
from web3 import HTTPProvider
from web3.types import RPCEndpoint, RPCResponse

from node.errors import RpcError
from node.logs import redact_text, redact_url

ATTEMPTS = 4
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 2.0
"""Seconds between attempts: exponential with jitter, so that many nodes do not return in step."""
PASSING_STATUS = frozenset({429, 500, 502, 503, 504})
"""HTTP statuses that a later attempt may not meet."""


class TransportError(Exception):
    """One attempt failed in a way that may pass."""


class RetryingProvider(HTTPProvider):
    """HTTP JSON-RPC: ATTEMPTS attempts on transport errors only, `timeout` seconds each, none begun after `timeout`.

    A repeated eth_sendRawTransaction is harmless: the same signed bytes are the same transaction.
    """

    def __init__(self, url: str, timeout: int) -> None:
        super().__init__(url, request_kwargs={"timeout": timeout}, exception_retry_configuration=None)
        self._shown = redact_url(url)
        self._retrying = Retrying(
            stop=stop_after_attempt(ATTEMPTS) | stop_after_delay(timeout),
            wait=wait_exponential_jitter(multiplier=FIRST_PAUSE, max=LONGEST_PAUSE),
            retry=retry_if_exception_type(TransportError),
            reraise=True,
        )

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        """One JSON-RPC call.

        Raises:
            RpcError: the endpoint does not answer, refuses by HTTP status, or does not speak JSON-RPC.
        """
        try:
            return self._retrying(self._attempt, method, params)
        except TransportError as error:
            raise RpcError(
                f"The RPC endpoint {self._shown} does not answer ({error}).",
                "Start the chain (`ponw devnet up` for a local one) or correct `rpc_url`.",
            ) from error

    def _attempt(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        try:
            answer = super().make_request(method, params)
        except (requests.ConnectionError, requests.Timeout) as error:
            raise TransportError(type(error).__name__) from error
        except requests.HTTPError as error:
            status = error.response.status_code
            if status in PASSING_STATUS:
                raise TransportError(f"HTTP {status}") from error
            raise RpcError(f"The RPC endpoint {self._shown} refuses with HTTP {status}.", "Check `rpc_url`.") from error
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise self._not_rpc("it does not answer in JSON") from error
        except requests.RequestException as error:
            raise self._not_rpc(redact_text(str(error))) from error
        if not isinstance(answer, dict) or not ("result" in answer or "error" in answer):
            raise self._not_rpc("its answer has neither result nor error")
        return answer

    def _not_rpc(self, reason: str) -> RpcError:
        return RpcError(f"{self._shown} is not a JSON-RPC endpoint: {reason}.", "Check `rpc_url`.")
