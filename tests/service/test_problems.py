"""The table of problems: every error is in it, and no other file of the service names a status."""

from __future__ import annotations

import re
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import pytest
from starlette.testclient import TestClient

import service
from service.errors import RequestError
from service.problems import CLIENT_GONE, INTERNAL, KINDS

ERROR_STATUSES = {status.value for status in HTTPStatus if status >= 400} | {CLIENT_GONE}
STATUS = re.compile(rf"\b_?({'|'.join(map(str, sorted(ERROR_STATUSES)))})\b|HTTP_\d\d\d")


def subclasses(root: type[Exception]) -> Iterator[type[Exception]]:
    for error in root.__subclasses__():
        yield error
        yield from subclasses(error)


def test_every_error_of_a_request_has_a_kind() -> None:
    assert [error for error in subclasses(RequestError) if error not in KINDS] == []


def test_every_kind_is_used_once() -> None:
    kinds = [kind.kind for kind in KINDS.values()] + [INTERNAL.kind]
    assert len(set(kinds)) == len(kinds)


def test_no_other_file_names_a_status() -> None:
    folder = Path(next(iter(service.__path__)))
    found = [
        f"{file.relative_to(folder)}:{number}: {line.strip()}"
        for file in sorted(folder.rglob("*.py"))
        if file.name not in ("problems.py", "settings.py")  # defaults of settings are no statuses
        for number, line in enumerate(file.read_text("utf-8").splitlines(), start=1)
        if STATUS.search(line)
    ]
    assert found == []


def test_the_documents_announce_the_statuses_of_the_table(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    announced = {
        int(status)
        for path in paths.values()
        for operation in path.values()
        for status in operation["responses"]
        if int(status) >= 400
    }
    assert announced <= {kind.status for kind in KINDS.values()}
    assert {400, 404, 408, 413, 415, 422, 429, 503, 504} <= announced


@pytest.mark.parametrize("path", ["/nothing", "/predict"])
def test_refusals_are_counted_by_kind(client: TestClient, path: str) -> None:
    kind = client.get(path).json()["type"].removeprefix("urn:demur:problem:")
    assert f'demur_refusals_total{{problem="{kind}"}} 1.0' in client.get("/metrics").text
