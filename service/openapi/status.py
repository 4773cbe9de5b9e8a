"""OpenAPI documents of the page, /health and its short forms, and /metrics."""

from __future__ import annotations

from typing import Any, Final

from service.errors import Draining
from service.openapi.parts import LABEL_ACCESS, NUMBER_OR_NULL, SIGNATURE, answer, problems

_STATUS = {"type": "object", "required": ["status"], "properties": {"status": {"type": "string"}}}

NOT_READY: Final = problems(("Stopping.", Draining))
LIVEZ: Final[dict[str, Any]] = {"responses": {"200": answer("Alive.", _STATUS)}}
READYZ: Final[dict[str, Any]] = {"responses": {"200": answer("Ready.", _STATUS), **NOT_READY}}
HEALTH: Final[dict[str, Any]] = {
    "responses": {
        "200": answer(
            "`ok`; `degraded` (the store is away or being rebuilt from the event log, the event log cannot "
            "be written, the alerts are not evaluated, or a model computes an image without end; predictions "
            "go on); or `draining`; and the details.",
            {
                "type": "object",
                "required": ["status", "store", "event_log", "labels"],
                "properties": {
                    "status": {"enum": ["ok", "degraded", "draining"]},
                    "computes": {
                        "type": "object",
                        "description": "Engine of the bundle, as obtained: engine, precision, "
                        "runtime, providers, processor; batch_sizes by stage; the reason of the choice.",
                    },
                    "store": {
                        "type": "object",
                        "properties": {
                            "state": {"enum": ["up", "down", "rebuilding", "off"]},
                            "events_waiting": {"type": "integer"},
                            "note": {
                                "type": "string",
                                "description": "Only if a person should know something of the store: "
                                "it is embedded in a pod of Kubernetes.",
                            },
                        },
                    },
                    "bundle": {
                        "type": "object",
                        "required": ["name", "version", "signature"],
                        "properties": {
                            "name": {"type": "string"},
                            "version": {"type": "string"},
                            "signature": SIGNATURE,
                        },
                    },
                    "promise": {"type": "string", "description": "The promise in a sentence."},
                    "claim": {"type": "string", "description": "Its first half: what is promised."},
                    "evidence": {"type": "string", "description": "The counts behind the claim."},
                    "drift": {
                        "type": "object",
                        "description": "Whether the images have moved away from the bundle's reference, in "
                        "a sentence, and what the probabilities say about accuracy and risk without labels.",
                        "properties": {
                            "state": {"enum": ["off", "failing", "collecting", "quiet", "moved"]},
                            "sentence": {"type": "string"},
                            "expected": {"type": ["string", "null"]},
                            "moved": {"type": "array", "items": {"type": "string"}},
                            "images": {"type": ["integer", "null"]},
                            "at": {"type": ["number", "null"]},
                            "waiting": {"type": "integer"},
                        },
                    },
                    "monitors": {
                        "type": "array",
                        "description": "Whether the promise still holds, of each bundle that answers: in a "
                        "sentence, and the counts, intervals, e-values and alarms behind it.",
                        "items": {
                            "type": "object",
                            "required": ["bundle", "sentence", "suspended"],
                            "properties": {
                                "bundle": {"type": "string"},
                                "sentence": {"type": "string"},
                                "suspended": {
                                    "type": "boolean",
                                    "description": "It abstains on everything until a person resets it.",
                                },
                            },
                        },
                    },
                    "experiment": {
                        "type": ["object", "null"],
                        "description": "The running experiment: its name, and the bundle, share and units of "
                        "each arm; `blocked` while units are missing from an arm.",
                        "properties": {
                            "name": {"type": "string"},
                            "began": NUMBER_OR_NULL,
                            "stratum": {"type": "integer"},
                            "blocked": {"type": "boolean"},
                            "arms": {"type": "array", "items": {"type": "object"}},
                        },
                    },
                    "alerts": {
                        "type": "object",
                        "description": "The alert engine of this worker: `leads`, `follows` another service, "
                        "`stands by` for another worker, or goes on `alone` without the store.",
                        "properties": {
                            "role": {"enum": ["leads", "follows", "stands by", "alone"]},
                            "leader": {"type": "string"},
                            "evaluated_at": {"type": ["number", "null"]},
                            "store": {"type": "boolean"},
                            "open": {"type": "integer"},
                            "working": {"type": "boolean", "description": "It has looked just now."},
                        },
                    },
                    "event_log": {"enum": ["ok", "failing", "off"]},
                    "labels": LABEL_ACCESS,
                    "overruns": {
                        "type": "object",
                        "description": "Threads of this worker that compute without end, and workers that "
                        "are being replaced for that reason.",
                        "properties": {
                            "lost_threads": {"type": "integer"},
                            "workers_being_replaced": {"type": "integer"},
                        },
                    },
                },
            },
        )
    }
}
METRICS: Final[dict[str, Any]] = {
    "responses": {
        "200": {
            "description": "Prometheus text format.",
            "content": {"text/plain": {"schema": {"type": "string"}}},
        }
    }
}
PAGE: Final[dict[str, Any]] = {
    "responses": {
        "200": {"description": "The page.", "content": {"text/html": {"schema": {"type": "string"}}}}
    }
}
