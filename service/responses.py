"""Bodies of answers, as plain values that orjson writes as they are."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.responses import Response

from service.compute.predictor import Prediction
from service.lineup.deployment import Deployment


def json_response(content: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(content), status_code=status, media_type="application/json")


def prediction_body(
    prediction: Prediction, deployment: Deployment, request_id: str, *, audit: bool
) -> dict[str, Any]:
    """The answer to one image. `probability` is present even in an abstention."""
    decision = prediction.decision
    body: dict[str, Any] = {
        "request_id": request_id,
        "decision": decision.decision,
        "label": decision.label,
        "label_name": None if decision.label is None else deployment.classes[decision.label],
        "prediction_set": decision.prediction_set,
        "probability": decision.probabilities[1],
        "confidence": decision.confidence,
        "stage": decision.stage,
        "reason": decision.reason,
        "bundle": {"name": deployment.name, "version": deployment.version},
        "guarantee": deployment.guarantee,
        "guarantee_reason": deployment.guarantee_reason,
        "audit": audit,
        "timing_ms": prediction.timing_ms,
    }
    if len(decision.probabilities) > 2:
        body["probabilities"] = decision.probabilities
    return body
