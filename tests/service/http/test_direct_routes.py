"""Direct routes give the same answers as FastAPI's routes, refusals included."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from fastapi import APIRouter, FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.testclient import TestClient

from service.errors import InvalidField, RequestError
from service.http.direct_routes import DirectRoutes
from service.http.request_ids import request_id_of, well_formed
from service.problems import problem_of

router = APIRouter()


@router.post("/echo")
async def echo(request: Request) -> Response:
    body = await request.body()
    if not body:
        raise InvalidField("there is nothing to echo")
    return Response(body, headers={"x-path": "direct" if "endpoint" not in request.scope else "fastapi"})


def app(*, direct: bool) -> FastAPI:
    made = FastAPI()
    made.include_router(router)

    def refuse(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestError)
        return JSONResponse(problem_of(error).to_dict(), problem_of(error).status)

    made.add_exception_handler(RequestError, refuse)
    if direct:
        made.add_middleware(DirectRoutes, routes=router.routes, refuse=refuse)
    return made


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [("POST", "/echo", b"hello"), ("POST", "/echo", b""), ("GET", "/echo", b""), ("POST", "/other", b"")],
)
def test_both_paths_give_the_same_answer(method: str, path: str, body: bytes) -> None:
    answers = []
    for direct in (True, False):
        with TestClient(app(direct=direct)) as client:
            answer = client.request(method, path, content=body)
            answers.append((answer.status_code, answer.content))
    assert answers[0] == answers[1]


def test_the_direct_path_is_taken() -> None:
    with TestClient(app(direct=True)) as client:
        assert client.post("/echo", content=b"x").headers["x-path"] == "direct"
    with TestClient(app(direct=False)) as client:
        assert client.post("/echo", content=b"x").headers["x-path"] == "fastapi"


def test_the_service_takes_the_direct_path_for_predictions(
    client: TestClient, make_colour_image: Callable[..., bytes]
) -> None:
    image = make_colour_image(1, 0.9)
    assert client.post("/predict", content=image, headers={"Content-Type": "image/jpeg"}).status_code == 200
    assert 'route="/predict"' in client.get("/metrics").text
    assert client.get("/predict").status_code == 405


def test_generated_ids_are_well_formed_and_unique() -> None:
    ids = [request_id_of(None) for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert all(well_formed(own_id) and len(own_id) == 32 for own_id in ids)
