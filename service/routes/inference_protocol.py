"""The Open Inference Protocol, version 2, over REST: the API of KServe, Triton and MLServer clients.

A model is a bundle, by its name; its version is the bundle's. A request takes the same path as one to
/predict: the same queue, decision, windows and metrics.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any, Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from service.answering import answered_image, deadline_of, record_answer
from service.compute.batch_request import BatchRequest
from service.compute.predictor import Prediction
from service.errors import Draining, NoSuchModel
from service.http.bodies import ImageReader
from service.http.compressed import content_encoding, decompressed
from service.http.inference_tensors import (
    INPUT,
    JSON_LENGTH,
    InferRequest,
    infer_request,
    infer_response,
    outputs_for,
)
from service.http.request_ids import image_id, replaced_id, request_id_of
from service.lineup.deployment import Deployment
from service.lineup.lineup import Dealt
from service.openapi import inference_protocol as openapi
from service.responses import json_response
from service.state import Service, log_answers, replaced_ids, request_id, service_of

PROTOCOL_PATH: Final = "/v2"
_MODEL: Final = "/models/{name}"
_VERSION: Final = "/models/{name}/versions/{version}"
_PARSED_ON_LOOP: Final = 256 * 2**10
"""Bytes of a body that is parsed on the event loop; a longer one would delay other requests."""

router = APIRouter(prefix=PROTOCOL_PATH, tags=["Open Inference Protocol"])


@router.get("", summary="Name and version of this server", openapi_extra=openapi.SERVER)
async def server_metadata(request: Request) -> Response:
    return json_response({"name": "demur", "version": version("demur"), "extensions": ["binary_tensor_data"]})


@router.get("/health/live", summary="The process is alive", openapi_extra=openapi.LIVE)
async def live(request: Request) -> Response:
    return json_response({"live": True})


@router.get("/health/ready", summary="The service is ready for requests", openapi_extra=openapi.READY)
async def ready(request: Request) -> Response:
    _refuse_draining(request)
    return json_response({"ready": True})


@router.get(_MODEL, summary="Inputs and outputs of a model", openapi_extra=openapi.MODEL)
@router.get(_VERSION, summary="Inputs and outputs of one version", openapi_extra=openapi.MODEL_VERSION)
async def model_metadata(request: Request) -> Response:
    return _metadata(_model(request))


@router.get(f"{_MODEL}/ready", summary="The model is ready", openapi_extra=openapi.MODEL_READY)
@router.get(f"{_VERSION}/ready", summary="This version is ready", openapi_extra=openapi.VERSION_READY)
async def model_ready(request: Request) -> Response:
    deployment = _model(request)
    _refuse_draining(request)
    return json_response({"name": deployment.name, "ready": True})


@router.post(f"{_MODEL}/infer", summary="Decide images", openapi_extra=openapi.INFER)
@router.post(f"{_VERSION}/infer", summary="Decide images", openapi_extra=openapi.VERSION_INFER)
async def infer(request: Request) -> Response:
    return await _infer(request, _model(request))


def _model(request: Request) -> Deployment:
    """The bundle that the path names. Raises NoSuchModel."""
    deployment = service_of(request).deployments.champion
    names = {"name": deployment.name, "version": deployment.version}
    for field, given in request.path_params.items():
        if given != names[field]:
            raise NoSuchModel(f"there is no model of this {field}", field=field, value=given[:128])
    return deployment


def _refuse_draining(request: Request) -> None:
    if service_of(request).phase.draining:
        raise Draining


def _metadata(deployment: Deployment) -> Response:
    classes = len(deployment.classes)
    outputs = [
        {
            "name": tensor.name,
            "datatype": tensor.datatype,
            "shape": [-1, classes] if tensor.wide else [-1],
        }
        for tensor in outputs_for(classes)
    ]
    return json_response(
        {
            "name": deployment.name,
            "versions": [deployment.version],
            "platform": deployment.engine,
            "inputs": [{"name": INPUT, "datatype": "BYTES", "shape": [-1]}],
            "outputs": outputs,
        }
    )


async def _infer(request: Request, deployment: Deployment) -> Response:
    service = service_of(request)
    deadline = deadline_of(request, service)
    encoding = content_encoding(request.headers)
    service.admit(request)
    body = await request.body()
    limits = service.settings

    def parse() -> InferRequest:
        return infer_request(
            decompressed(body, encoding, limits.max_batch_bytes),
            request.headers.get(JSON_LENGTH),
            outputs_for(len(deployment.classes)),
            limits.max_batch_images,
        )

    on_loop = encoding is None and len(body) <= _PARSED_ON_LOOP
    parsed = parse() if on_loop else await service.predictor.split(parse, deadline)
    service.charge(request, len(parsed.readers) - 1)
    own_id = request_id(request) if parsed.id is None else request_id_of(parsed.id)
    replaced = replaced_ids(request)
    if (given := replaced_id(parsed.id, own_id)) is not None:
        replaced = {"replaced_request_id": given}
    predictions = await _decide_all(service, deployment, parsed.readers, deadline)
    single = len(predictions) == 1
    answers = []
    for index, (read, prediction) in enumerate(zip(parsed.readers, predictions, strict=True)):
        image_name = own_id if single else image_id(own_id, index)
        image = answered_image(request, read, len(body) // len(predictions), image_name)
        answers.append(record_answer(service, Dealt(deployment), prediction, image))
    log_answers(request, answers)
    head: dict[str, Any] = {
        "model_name": deployment.name,
        "model_version": deployment.version,
        "id": own_id if parsed.id is None else parsed.id,
        "parameters": {"promise": deployment.promise, **replaced},
    }
    content, json_length = infer_response(head, parsed.outputs, answers)
    if json_length is None:
        return Response(content, media_type="application/json")
    return Response(content, media_type="application/octet-stream", headers={JSON_LENGTH: str(json_length)})


async def _decide_all(
    service: Service, deployment: Deployment, readers: tuple[ImageReader, ...], deadline: float
) -> list[Prediction]:
    """Decide all images of a request. Raises the RequestError of the first image that has one: the protocol
    has no answer for a part of the images."""
    predictor = service.predictor
    if len(readers) == 1:
        return [await predictor.predict(deployment, readers[0], deadline)]
    predictor.admission.refuse_if_full(predictor.admission.slots)
    return await BatchRequest(predictor, deployment, readers, deadline, "inputs[0].data").decide_all()
