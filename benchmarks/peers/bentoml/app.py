"""BentoML over the same code as the raw loop: raw JPEG bodies, one worker process, one image at a time."""

import os
from pathlib import Path
from typing import Annotated

import bentoml
from bentoml.validators import ContentType
from harness.plain import served_by_a_peer


@bentoml.service(
    workers=int(os.environ["BENCH_WORKERS"]),
    threads=1,
    traffic={"timeout": 60},
    logging={"access": {"enabled": False}},
)
class Classifier:
    def __init__(self) -> None:
        self.model = served_by_a_peer()

    @bentoml.api(route="/predict")
    def predict(self, image: Annotated[Path, ContentType("image/jpeg")], /) -> dict[str, object]:
        return self.model.answer(image.read_bytes()).to_dict()
