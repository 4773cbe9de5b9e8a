"""LitServe over the same code as the raw loop: raw JPEG bodies, one worker process."""

import os
from typing import Annotated, Any

import litserve
from fastapi import Body
from harness.plain import served_by_a_peer


class Classifier(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self.model = served_by_a_peer()

    def decode_request(self, request: Annotated[bytes, Body(media_type="image/jpeg")]) -> bytes:
        return request

    def predict(self, batch: list[bytes]) -> list[dict[str, object]]:
        return [self.model.answer(image).to_dict() for image in batch]

    def batch(self, inputs: list[bytes]) -> list[bytes]:
        return inputs

    def unbatch(self, output: list[dict[str, object]]) -> Any:
        return output

    def encode_response(self, output: dict[str, object]) -> dict[str, object]:
        return output


if __name__ == "__main__":
    # Batches of four were its fastest on a small model; waiting for one to fill up gains nothing on a CPU.
    api = Classifier(max_batch_size=4, batch_timeout=0.001, enable_async=False)
    server = litserve.LitServer(
        api,
        accelerator="cpu",
        devices=1,
        workers_per_device=int(os.environ["BENCH_WORKERS"]),
        track_requests=False,
    )
    server.run(
        host="127.0.0.1",
        port=int(os.environ["BENCH_PORT"]),
        num_api_servers=1,
        generate_client_file=False,
        log_level="warning",
    )
