"""Requests that follow and break the OpenAPI document: no failure of the server, no status, type or body that the
document does not name."""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from node.gateway import wire
from node.gateway.app import create_app
from node.gateway.problems import CATALOGUE
from tests.gateway.volunteers import API, enrol

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    unsupported_method,
]
EXAMPLES = 12


def test_the_document_is_complete(api):
    document = api.get("/openapi.json").json()
    assert len([path for path in document["paths"] if path.startswith(API)]) == 18
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert {"422", "429", "503", "500"} <= set(operation["responses"]), (path, method)
            assert operation["summary"] and operation["description"]
            for status, answer in operation["responses"].items():
                if int(status) >= 400:
                    assert set(answer["content"]) == {"application/problem+json"}, (path, status)
    assert {"Problem", "UploadMeta", "Beat", "StatsMessage"} <= set(document["components"]["schemas"])
    assert all(code in document["info"]["description"] for code in CATALOGUE)


@schemathesis.serializer(wire.MEDIA_TYPE)
def upload_bytes(_context, value):
    """Half of them with a right beginning."""
    data = value if isinstance(value, bytes) else str(value).encode(errors="replace")
    return wire.MAGIC + data if len(data) % 2 else data


@pytest.fixture
def gateway(open_gateways):
    return open_gateways()


@pytest.fixture
def schema(gateway):
    return schemathesis.openapi.from_asgi("/openapi.json", create_app(gateway))


def fire(operation, mode, send):
    """A bounded number of requests to an operation, valid or not."""

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=EXAMPLES,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def run(case):
        send(case)

    run()


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_requests_within_and_without_the_document(api, schema, mode):
    ada, told, unbreakable = enrol(api), set(), set()

    def send(case):
        # Half of the requests name a batch that there is.
        if "batch_id" in (case.path_parameters or {}) and len(told) % 2:
            case.path_parameters["batch_id"] = ada.request()["batch_id"]
        answer = case.call(headers=ada.headers)
        told.add((case.operation.label, answer.status_code))
        # The tool rewrites `prefixItems`, which the pairs of this body have, into what its own validator refuses.
        pairs = case.operation.label.endswith("/stats/global")
        case.validate_response(answer, checks=[one for one in CHECKS if not (pairs and one is CHECKS[3])])

    for result in schema.get_all_operations():
        operation = result.ok()
        try:
            fire(operation, mode, send)
        except Unsatisfiable:
            unbreakable.add(operation.label)  # it takes nothing that could be wrong
    assert len({label for label, _ in told} | unbreakable) == 20
    if mode is GenerationMode.POSITIVE:
        assert not unbreakable and {200, 204, 404, 422} <= {status for _, status in told}
