"""POST /predict and /predict/batch."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from service.answering import answered_image, deadline_of, dealt_to, record_answer, record_failure
from service.compute.batch_request import BatchRequest
from service.errors import RequestError
from service.http.bodies import batch_reader, image_reader
from service.http.request_ids import image_id
from service.openapi import predict as openapi
from service.problems import problem_of
from service.responses import json_response
from service.state import log_answers, replaced_ids, request_id, service_of

router = APIRouter(tags=["predict"])


@router.post("/predict", summary="Decide one image", openapi_extra=openapi.PREDICT)
async def predict(request: Request) -> Response:
    service = service_of(request)
    dealt = dealt_to(request, service)
    deadline = deadline_of(request, service)
    service.admit(request)
    body = await request.body()
    read = image_reader(request.headers, body)
    try:
        prediction = await service.predictor.predict(dealt.deployment, read, deadline)
    except Exception as error:
        record_failure(service, dealt, request, error, request_id(request))
        raise
    image = answered_image(request, read, len(body), request_id(request))
    answer = record_answer(service, dealt, prediction, image)
    log_answers(request, [answer])
    return json_response({**answer, **replaced_ids(request)})


@router.post("/predict/batch", summary="Decide several images", openapi_extra=openapi.PREDICT_BATCH)
async def predict_batch(request: Request) -> Response:
    service = service_of(request)
    dealt = dealt_to(request, service)
    deadline = deadline_of(request, service)
    predictor = service.predictor
    predictor.admission.refuse_if_full(predictor.admission.slots)
    service.admit(request)
    body = await request.body()
    split = batch_reader(request.headers, body, service.settings.max_batch_images)
    readers = await predictor.split(split, deadline)
    service.charge(request, len(readers) - 1)
    outcomes = await BatchRequest(predictor, dealt.deployment, readers, deadline, "images").decide_each()
    results = []
    for index, (read, outcome) in enumerate(zip(readers, outcomes, strict=True)):
        own_id = image_id(request_id(request), index)
        if isinstance(outcome, RequestError):
            record_failure(service, dealt, request, outcome, own_id)
            problem = problem_of(outcome)
            service.instruments.refusals.labels(problem.kind).inc()
            results.append({"request_id": own_id, "problem": problem.to_dict(own_id)})
        else:
            image = answered_image(request, read, len(body) // len(readers), own_id)
            results.append(record_answer(service, dealt, outcome, image))
    log_answers(request, results)
    return json_response({"request_id": request_id(request), "results": results, **replaced_ids(request)})
