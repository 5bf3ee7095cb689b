"""Requests that follow and break the OpenAPI document: no failure of the server, no status, type or body that the
document does not name."""

from __future__ import annotations

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


def operations(schema):
    """Every operation but the socket's and the ones for which a page of its own is needed."""
    return [found.ok() for found in schema.get_all_operations()]


def test_requests_within_and_without_the_document(api, gateway):
    ada = enrol(api)
    offer = ada.request()
    schema = schemathesis.openapi.from_asgi("/openapi.json", create_app(gateway))
    told = set()
    for operation in operations(schema):
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

            @given(case=operation.as_strategy(generation_mode=mode))
            @settings(
                max_examples=EXAMPLES,
                deadline=None,
                database=None,
                derandomize=True,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            def run(case, known=operation):
                if "batch_id" in (case.path_parameters or {}) and len(told) % 2:
                    case.path_parameters["batch_id"] = offer["batch_id"]
                answer = case.call(headers=ada.headers)
                told.add((known.label, answer.status_code))
                case.validate_response(answer, checks=CHECKS)

            try:
                run()
            except Unsatisfiable:
                assert mode is GenerationMode.NEGATIVE, operation.label
    assert {label for label, _ in told} == {operation.label for operation in operations(schema)}
    assert {200, 204, 401, 403, 404, 409, 422} & {status for _, status in told} >= {200, 404, 409, 422}
