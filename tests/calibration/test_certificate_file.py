"""Text of certificate files: the inverse reads it, and anything else is refused."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

import calibration
from calibration import Certificate, MalformedCertificate, RiskTarget, read_certificates, write_certificates


def certificate(alpha: float = 0.1) -> Certificate:
    confidence = np.linspace(1.0, 2.0, 400)
    return calibration.certify(confidence, confidence < 1.05, None, RiskTarget(alpha, 0.1, 0.5))


def test_one_certificate_is_an_object() -> None:
    text = write_certificates([certificate()])
    assert Certificate.from_dict(json.loads(text)) == certificate()
    assert read_certificates(text) == (certificate(),)


def test_several_risks_are_a_list() -> None:
    several = (certificate(0.1), certificate(0.2))
    assert read_certificates(write_certificates(several).encode()) == several


def test_a_stage_that_answers_nothing() -> None:
    one = certificate()
    values = {**one.to_dict(), "threshold": [None, one.threshold]}
    (read,) = read_certificates(json.dumps(values))
    assert isinstance(read.threshold, tuple)
    assert math.isinf(read.threshold[0])
    assert read_certificates(write_certificates([read])) == (read,)


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "3", '"text"', "null", "{}", '{"alpha": 0.1}', b"\xff\xfe"),
        json.dumps({**certificate().to_dict(), "alpha": "ten"}),
        json.dumps({**certificate().to_dict(), "surplus": 1}),
        json.dumps({**certificate().to_dict(), "threshold": None}),
        json.dumps({**certificate().to_dict(), "parts": 3}),
    ],
)
def test_anything_else_is_refused(text: str | bytes) -> None:
    with pytest.raises(MalformedCertificate, match="no certificate of demur"):
        read_certificates(text)
