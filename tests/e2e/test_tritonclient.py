"""NVIDIA's public client for the Open Inference Protocol, against the running service."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fakes.service_process import ServiceProcess
from fakes.tiny_bundle import ABSTAINED, ANSWERED_BY_A

triton = pytest.importorskip("tritonclient.http", reason="tritonclient is in the extra [dev]")

Images = Callable[..., bytes]


def test_the_public_client(tiny_bundle: Path, tmp_path: Path, make_colour_image: Images) -> None:
    images = [make_colour_image(1, ANSWERED_BY_A), make_colour_image(0, ABSTAINED)]
    with ServiceProcess(tiny_bundle, tmp_path / "service", redis_url="off") as service:
        client = triton.InferenceServerClient(service.url.removeprefix("http://"))
        try:
            assert client.is_server_live()
            assert client.is_server_ready()
            assert client.is_model_ready("tiny")
            assert not client.is_model_ready("other")
            version = client.get_model_metadata("tiny")["versions"][0]

            def infer(elements: list[bytes], binary: bool, outputs: list[str] | None) -> object:
                tensor = triton.InferInput("image", [len(elements)], "BYTES")
                tensor.set_data_from_numpy(np.array(elements, dtype=np.object_), binary_data=binary)
                wanted = outputs and [
                    triton.InferRequestedOutput(name, binary_data=binary) for name in outputs
                ]
                return client.infer("tiny", [tensor], version, wanted, request_id="frame-1")

            texts = [base64.b64encode(image) for image in images]
            for result in (
                infer(images, True, None),
                infer(images, True, ["decision", "label", "prediction_set", "request_id"]),
                infer(texts, False, ["decision", "label", "prediction_set", "request_id"]),
            ):
                decisions = [np.asarray(got).item() for got in result.as_numpy("decision")]
                assert [got.decode() if isinstance(got, bytes) else got for got in decisions] == [
                    "answer",
                    "abstain",
                ]
                assert result.as_numpy("label").tolist() == [1, -1]
                assert result.as_numpy("prediction_set").tolist() == [[False, True], [True, True]]
                assert result.get_response()["id"] == "frame-1"
            for shape in ([2, 1], [1, 2], [1, 2, 1]):
                for binary, elements in ((True, images), (False, texts)):
                    for compression in (None, "gzip", "deflate"):
                        tensor = triton.InferInput("image", shape, "BYTES")
                        tensor.set_data_from_numpy(
                            np.array(elements, dtype=np.object_).reshape(shape), binary_data=binary
                        )
                        wanted = [
                            triton.InferRequestedOutput("label", binary_data=not binary),
                            triton.InferRequestedOutput("stage", binary_data=binary),
                        ]
                        result = client.infer(
                            "tiny",
                            [tensor],
                            outputs=wanted,
                            request_compression_algorithm=compression,
                            response_compression_algorithm=compression,
                            priority=1,
                            timeout=5_000_000,
                            parameters={"camera": "north"},
                        )
                        assert result.as_numpy("label").tolist() == [1, -1]
                        assert result.as_numpy("stage").shape == (2,)
            tensor = triton.InferInput("image", [1], "BYTES")
            tensor.set_data_from_numpy(np.array([images[0]], dtype=np.object_))
            waiting = [client.async_infer("tiny", [tensor]) for _ in range(3)]
            assert [one.get_result().as_numpy("label").tolist() for one in waiting] == [[1]] * 3
            with pytest.raises(triton.InferenceServerException, match="image"):
                infer([b"no image"], True, None)
        finally:
            client.close()
