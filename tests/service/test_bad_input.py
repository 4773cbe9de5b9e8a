"""Invalid input of every kind gets a problem document with the right status and the limit."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from starlette.testclient import TestClient

Images = Callable[..., bytes]
JPEG = {"Content-Type": "image/jpeg"}
JSON = {"Content-Type": "application/json"}


def problem(answer: Any, status: int, kind: str) -> dict[str, Any]:
    """The document of a refusal, after a check of the members that each must have."""
    body: dict[str, Any] = answer.json()
    assert (answer.status_code, body["type"]) == (status, f"urn:demur:problem:{kind}"), body
    assert answer.headers["content-type"] == "application/problem+json"
    assert body["status"] == status
    assert body["detail"]
    assert body["title"]
    assert body["request_id"] == answer.headers["x-request-id"]
    return body


def png_header(width: int, height: int) -> bytes:
    """A tiny PNG that declares a huge image."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        )

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(b"\0" * 100))
        + chunk(b"IEND", b"")
    )


def gif() -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "GIF")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "status", "kind"),
    [
        (b"", 400, "empty-image"),
        (b"this is a text, not an image", 400, "not-an-image"),
        (gif(), 415, "unsupported-image-format"),
        (png_header(13_000, 13_000), 422, "too-many-pixels"),
    ],
    ids=["nothing", "text", "gif", "bomb"],
)
def test_bytes_that_are_not_an_image(client: TestClient, content: bytes, status: int, kind: str) -> None:
    for answer in (
        client.post("/predict", content=content, headers=JPEG),
        client.post("/predict", files={"file": ("x.jpg", content)}),
        client.post("/predict", json={"image": base64.b64encode(content).decode()}),
    ):
        assert problem(answer, status, kind)["field"] == "image"


def test_pixels_and_their_limit_are_named(client: TestClient) -> None:
    body = problem(
        client.post("/predict", content=png_header(13_000, 13_000), headers=JPEG), 422, "too-many-pixels"
    )
    assert (body["value"], body["limit"]) == (169_000_000, 36_000_000)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_truncated_images(client: TestClient, make_colour_image: Images, share: float) -> None:
    image = make_colour_image(1, 0.9, size=(200, 200))
    cut = client.post("/predict", content=image[: int(share * len(image))], headers=JPEG)
    problem(cut, 400, "truncated-image")


def test_an_image_of_too_many_bytes(
    make_client: Callable[..., TestClient], make_colour_image: Images
) -> None:
    client = make_client(max_image_bytes=1000)
    image = make_colour_image(1, 0.9, size=(200, 200))
    body = problem(client.post("/predict", content=image, headers=JPEG), 413, "too-many-bytes")
    assert (body["value"], body["limit"]) == (len(image), 1000)


def test_a_body_of_too_many_bytes(make_client: Callable[..., TestClient]) -> None:
    client = make_client(max_image_bytes=1000)
    limit = 1000 * 4 // 3 + 64 * 1024
    body = problem(client.post("/predict", content=b"x" * 100_000, headers=JPEG), 413, "body-too-large")
    assert (body["value"], body["limit"]) == (100_000, limit)


@pytest.mark.parametrize("media", ["text/plain", "application/x-www-form-urlencoded", "video/mp4"])
def test_unsupported_media_types(client: TestClient, make_colour_image: Images, media: str) -> None:
    answer = client.post("/predict", content=make_colour_image(1, 0.9), headers={"Content-Type": media})
    body = problem(answer, 415, "unsupported-media-type")
    assert body["field"] == "Content-Type"
    assert body["value"] == media
    assert "image/*" in body["limit"]


def test_a_compressed_body_is_refused(client: TestClient, make_colour_image: Images) -> None:
    headers = {**JPEG, "Content-Encoding": "gzip"}
    answer = client.post("/predict", content=make_colour_image(1, 0.9), headers=headers)
    problem(answer, 415, "unsupported-content-encoding")


@pytest.mark.parametrize(
    ("content", "status", "kind", "field"),
    [
        (b'{"image": ', 400, "malformed-json", "body"),
        (b"\xff\xfe", 400, "malformed-json", "body"),
        (b"[" * 100_000, 400, "malformed-json", "body"),
        (b"[]", 422, "invalid-field", "body"),
        (b"{}", 422, "missing-field", "image"),
        (b'{"image": 7}', 422, "invalid-field", "image"),
        (b'{"image": null}', 422, "invalid-field", "image"),
        (b'{"image": "%%%"}', 422, "invalid-base64", "image"),
        (b'{"image": "abcde"}', 422, "invalid-base64", "image"),
        (b'{"image": "ab=cd"}', 422, "invalid-base64", "image"),
        (b'{"image": "abc====="}', 422, "invalid-base64", "image"),
        ('{"image": "ü"}'.encode(), 422, "invalid-base64", "image"),
    ],
)
def test_broken_json(client: TestClient, content: bytes, status: int, kind: str, field: str) -> None:
    assert problem(client.post("/predict", content=content, headers=JSON), status, kind)["field"] == field


@pytest.mark.parametrize(
    ("content", "status", "kind"),
    [
        ({}, 422, "missing-field"),
        ({"images": []}, 422, "missing-field"),
        ({"images": "abc"}, 422, "invalid-field"),
        ({"image": "abc"}, 422, "missing-field"),
    ],
)
def test_broken_batches(client: TestClient, content: Any, status: int, kind: str) -> None:
    problem(client.post("/predict/batch", json=content), status, kind)


@pytest.mark.parametrize(
    "media",
    ["image/jpg", "image/pjpeg", "image/x-png", "image/*", "IMAGE/JPEG", "application/octet-stream",
     "binary/octet-stream", "image/gif; charset=binary", ""],
)  # fmt: skip
def test_the_bytes_decide_under_any_image_type(
    client: TestClient, make_colour_image: Images, media: str
) -> None:
    for encoding in ("JPEG", "PNG", "WEBP"):
        image = make_colour_image(1, 0.9, encoding=encoding)
        answer = client.post("/predict", content=image, headers={"Content-Type": media})
        assert answer.status_code == 200, answer.text


def _base64_spellings(image: bytes) -> list[str]:
    plain = base64.b64encode(image).decode()
    url_safe = base64.urlsafe_b64encode(image).decode()
    return [
        plain,
        plain.rstrip("="),
        url_safe,
        url_safe.rstrip("="),
        base64.encodebytes(image).decode(),
        plain.replace("A", "A\r\n"),
        f" {plain}\n",
        f"data:image/jpeg;base64,{plain}",
        f"data:image/jpeg;base64,{quote(plain, safe='')}",
        f"DATA:image/jpeg;name=x.jpg;BASE64,{url_safe}",
    ]


def test_base64_in_every_spelling(client: TestClient, make_colour_image: Images) -> None:
    image = make_colour_image(1, 0.9) + b"\xff\xfe\xfb"
    texts = _base64_spellings(image)
    for text in texts:
        answer = client.post("/predict", json={"image": text})
        assert answer.status_code == 200, (text[:60], answer.text)
    results = client.post("/predict/batch", json={"images": texts}).json()["results"]
    assert {result["decision"] for result in results} == {"answer"}


@pytest.mark.parametrize("media", ["application/json; charset=utf-8", "text/json", "application/vnd.x+json"])
def test_json_under_its_other_names_and_with_a_byte_order_mark(
    client: TestClient, make_colour_image: Images, media: str
) -> None:
    body = b'\xef\xbb\xbf{"image": "' + base64.b64encode(make_colour_image(1, 0.9)) + b'"}'
    assert client.post("/predict", content=body, headers={"Content-Type": media}).status_code == 200


FORM = "multipart/form-data; boundary=edge"
FIELD = b'Content-Disposition: form-data; name="file"; filename="x.jpg"\r\n'


@pytest.mark.parametrize(
    ("media", "before", "headers", "after"),
    [
        (FORM, b"--edge\r\n", FIELD, b"\r\n--edge--\r\n"),
        (FORM, b"--edge\r\n", FIELD, b"\r\n--edge--"),
        (FORM, b"a preamble --edge\r\n--edge\r\n", FIELD, b"\r\n--edge--\r\nan epilogue\r\n--edge\r\n"),
        (FORM, b"\r\n--edge \t\r\n", FIELD, b"\r\n--edge--  \r\n"),
        (FORM, b"--edge\r\n\r\nno headers\r\n--edge\r\n", FIELD, b"\r\n--edge--\r\n"),
        (FORM, b"--edge\r\n", FIELD.replace(b"; filename", b";\r\n filename"), b"\r\n--edge--\r\n"),
        (FORM, b"--edge\r\n", FIELD.upper().replace(b'"FILE"', b"file"), b"\r\n--edge--\r\n"),
        ('multipart/form-data; boundary="a b:(c)?"', b"--a b:(c)?\r\n", FIELD, b"\r\n--a b:(c)?--\r\n"),
        (FORM, b"--edge\n", FIELD.replace(b"\r", b""), b"\n--edge--\n"),
    ],
    ids=["plain", "no end", "preamble", "padding", "no headers", "folded", "capitals", "quoted", "LF"],
)
def test_forms_as_the_standard_allows_them(
    client: TestClient, make_colour_image: Images, media: str, before: bytes, headers: bytes, after: bytes
) -> None:
    end = b"\n" if media == FORM and b"\r" not in headers else b"\r\n"
    for encoding, content in (
        (b"", make_colour_image(1, 0.9)),
        (b"Content-Transfer-Encoding: binary", make_colour_image(1, 0.9)),
        (b"content-transfer-encoding: BASE64", base64.encodebytes(make_colour_image(1, 0.9))),
    ):
        body = before + headers + (encoding + end if encoding else b"") + end + content + after
        answer = client.post("/predict", content=body, headers={"Content-Type": media})
        assert answer.status_code == 200, answer.text


def test_an_image_that_holds_its_boundary_is_read_whole(client: TestClient) -> None:
    """The boundary inside a part counts only at the start of a line, as a whole."""
    body = b"--edge\r\n" + FIELD + b"\r\n\r\n--edgeless\r\nx--edge\r\n--edge--\r\n"
    answer = client.post("/predict", content=body, headers={"Content-Type": FORM})
    problem(answer, 400, "not-an-image")


PART = b'--edge\r\nContent-Disposition: form-data; name="file"; filename="x.jpg"\r\n\r\n'


@pytest.mark.parametrize(
    ("media", "content", "status", "kind"),
    [
        ("multipart/form-data", b"", 400, "malformed-form"),
        (FORM, b"", 400, "malformed-form"),
        (FORM, b"no boundary here", 400, "malformed-form"),
        (FORM, PART + b"cut off", 400, "malformed-form"),
        (FORM, PART.replace(b"\r\n\r\n", b"\r\n" + b"X: y\r\n" * 500 + b"\r\n"), 400, "malformed-form"),
        (FORM, PART.replace(b"x.jpg", b"x" * 100_000), 400, "malformed-form"),
        (FORM, (PART + b"x\r\n") * 2000 + b"--edge--\r\n", 400, "malformed-form"),
        (FORM, PART.replace(b'"file"', b'"photo"') + b"x\r\n--edge--\r\n", 422, "missing-field"),
        (FORM, PART + b"x\r\n" + PART + b"x\r\n--edge--\r\n", 422, "invalid-field"),
        ("multipart/form-data; boundary=" + "e" * 5000, PART, 400, "malformed-form"),
    ],
    ids=["unnamed", "empty", "foreign", "cut", "headers", "header", "parts", "other", "two", "boundary"],
)
def test_broken_forms(client: TestClient, media: str, content: bytes, status: int, kind: str) -> None:
    problem(client.post("/predict", content=content, headers={"Content-Type": media}), status, kind)


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ({"label": 1}, "request_id"),
        ({"request_id": "a"}, "label"),
        ({"request_id": "a", "label": 2}, "label"),
        ({"request_id": "a", "label": -1}, "label"),
        ({"request_id": "a", "label": True}, "label"),
        ({"request_id": "a", "label": 1.5}, "label"),
        ({"request_id": "a", "label": 2.0}, "label"),
        ({"request_id": "a", "label": "green"}, "label"),
        ({"request_id": "a", "label": "1"}, "label"),
        ({"request_id": "a", "label": None}, "label"),
        ({"request_id": "a", "label": 10**18}, "label"),
        ({"request_id": "", "label": 1}, "request_id"),
        ({"request_id": "a b", "label": 1}, "request_id"),
        ({"request_id": "a\n", "label": 1}, "request_id"),
        ({"request_id": "{x}", "label": 1}, "request_id"),
        ({"request_id": "x" * 129, "label": 1}, "request_id"),
        ({"request_id": "x" * 121, "label": 1}, "request_id"),
        ({"request_id": "x" * 121 + ".3", "label": 1}, "request_id"),
        ({"request_id": 7, "label": 1}, "request_id"),
        ({"request_id": ["a"], "label": 1}, "request_id"),
    ],
)
def test_invalid_feedback(monitored: TestClient, content: Any, field: str) -> None:
    answer = monitored.post("/feedback", json=content)
    assert answer.status_code == 422
    assert problem(answer, 422, answer.json()["type"].rsplit(":", 1)[1])["field"] == field


@pytest.mark.parametrize(
    ("headers", "content", "status"),
    [
        ({"Content-Type": "text/plain"}, b"{}", 415),
        (JSON, b"{", 400),
        (JSON, b"[1]", 422),
        (JSON, b'{"request_id": "' + b"x" * 100_000 + b'"}', 413),
    ],
)
def test_unreadable_feedback(
    monitored: TestClient, headers: dict[str, str], content: bytes, status: int
) -> None:
    answer = monitored.post("/feedback", content=content, headers=headers)
    problem(answer, status, answer.json()["type"].rsplit(":", 1)[1])


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", "/nothing", 404, "not-found"),
        ("GET", "/predict/", 404, "not-found"),
        ("GET", "/predict", 405, "method-not-allowed"),
        ("DELETE", "/health", 405, "method-not-allowed"),
        ("BREW", "/predict", 405, "method-not-allowed"),
        ("POST", "/docs", 405, "method-not-allowed"),
        ("GET", "/redoc", 404, "not-found"),
    ],
)
def test_unknown_paths_and_methods(
    client: TestClient, method: str, path: str, status: int, kind: str
) -> None:
    answer = client.request(method, path)
    problem(answer, status, kind)
    if status == 405:
        assert answer.headers["allow"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=st.sampled_from(["/predict", "/predict/batch", "/feedback", "/feedback/batch"]),
    media=st.sampled_from(["image/jpeg", "application/json", FORM, "text/plain", "multipart/form-data"]),
    content=st.binary(max_size=300)
    | st.builds(lambda middle: PART + middle + b"\r\n--edge--\r\n", st.binary(max_size=50))
    | st.sampled_from([b'{"images": [null]}', b'{"image": ""}', b"\xff\xd8\xff\xe0\x00\x10JFIF"]),
)
def test_no_bytes_break_the_service(client: TestClient, path: str, media: str, content: bytes) -> None:
    answer = client.post(path, content=content, headers={"Content-Type": media})
    assert answer.status_code < 500
