"""MLServer over the same code as the raw loop: raw JPEG bodies by a custom handler."""

from typing import Annotated, Any

from fastapi import Body
from harness.plain import served_by_a_peer
from mlserver import MLModel
from mlserver.handlers import custom_handler


class Classifier(MLModel):
    async def load(self) -> bool:
        self.model = served_by_a_peer()
        return True

    @custom_handler(rest_path="/predict")
    async def predict_image(self, image: Annotated[bytes, Body(media_type="image/jpeg")]) -> Any:
        return self.model.answer(image).to_dict()
