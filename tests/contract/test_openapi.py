"""Requests drawn from the OpenAPI document, valid and invalid ones, against the running service: no internal
error, and every answer is one that the document announces."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes.service_process import ServiceProcess
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is in the extra [dev]")

from schemathesis.specs.openapi.checks import (  # noqa: E402 - after the check that it is there
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

EXAMPLES = 25
CHECKS = [content_type_conformance, response_schema_conformance, status_code_conformance]


@pytest.fixture(scope="module")
def api(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    # An answer without end is tested elsewhere; here /live refuses.
    with ServiceProcess(tiny_bundle, tmp_path_factory.mktemp("service"), live_listeners=0) as service:
        with service.client() as client:
            bundle = client.get("/health").json()["bundle"]
        yield schemathesis.openapi.from_url(f"{service.url}/openapi.json"), bundle
        assert not [line for line in service.logs() if line["event"] == "request_failed"]


@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode), ids=lambda mode: mode.value)
def test_every_answer_is_an_announced_one(api: tuple[Any, dict[str, str]], mode: Any) -> None:
    schema, model = api
    for result in schema.get_all_operations():
        operation = result.ok()

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode), known=st.booleans())
        def holds(case: Any, known: bool) -> None:
            if known:
                case.path_parameters.update({name: model[name] for name in case.path_parameters})
            response = case.call(timeout=120)
            assert response.status_code != 500
            case.validate_response(response, checks=CHECKS)

        try:
            holds()
        except Unsatisfiable:
            # This operation has nothing that could be invalid.
            assert mode is schemathesis.GenerationMode.NEGATIVE
            assert operation.method == "get"
