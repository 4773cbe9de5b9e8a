"""Lists of tokens: what they may hold, and messages that show no secret."""

from __future__ import annotations

import pickle

import pytest

from service.errors import SettingsError
from service.settings import Settings
from service.tokens import FeedbackToken, read_feedback_tokens

A, B = "a-token-of-the-tests", "b-token-of-the-tests=="


def test_a_list_is_read_with_the_habits_of_shells_and_files() -> None:
    expected = (FeedbackToken("anna", A), FeedbackToken("tool.2", B))
    assert read_feedback_tokens(f"anna={A},tool.2={B}") == expected
    assert read_feedback_tokens(f" anna = {A} ,\n tool.2={B}\r\n,") == expected
    settings = Settings.read({"DEMUR_FEEDBACK_TOKENS": f'"anna={A},tool.2={B}"\n'}, bundle="b")
    assert settings.feedback_tokens == expected
    assert Settings.read({}, bundle="b", feedback_tokens=expected).feedback_tokens == expected
    assert Settings.read({"DEMUR_FEEDBACK_TOKENS": " "}, bundle="b").feedback_tokens == ()
    assert pickle.loads(pickle.dumps(settings)).feedback_tokens == expected


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        (",", ["the list is empty"]),
        (A, ["entry 1 of 1: it must be NAME=TOKEN"]),
        (f"anna={A},secret-in-the-wrong-place", ["entry 2 of 2: it must be NAME=TOKEN"]),
        ("anna=secret", ["entry 1 of 1: the token has 6 characters; it must have at least 16"]),
        ("anna=", ["entry 1 of 1: a token has only printable ASCII"]),
        ("anna=secret in two parts", ["entry 1 of 1: a token has only printable ASCII"]),
        ("anna=secret-mit-ümlaut-und-mehr", ["entry 1 of 1: a token has only printable ASCII"]),
        (f"={A}", ["entry 1 of 1: a name has 1 to 64 letters"]),
        (f"an na={A}", ["entry 1 of 1: a name has 1 to 64 letters"]),
        (f"{'x' * 65}={A}", ["entry 1 of 1: a name has 1 to 64 letters"]),
        (f"anna={A},bob={B},anna=c{B}", ["entries 1 and 3 have the same name"]),
        (f"anna={A},bob={A}", ["entries 1 and 2 have the same token"]),
        (
            f"{A}=anna,bob,carl={B},dora=secret",
            ["entry 1 of 4: the token has 4", "entry 2 of 4", "entry 4 of 4: the token has 6"],
        ),
    ],
)
def test_every_fault_is_named_by_its_place_and_no_secret_is_shown(text: str, faults: list[str]) -> None:
    with pytest.raises(SettingsError, match=r"^DEMUR_FEEDBACK_TOKENS: ") as error:
        Settings.read({"DEMUR_FEEDBACK_TOKENS": text}, bundle="b")
    said = str(error.value)
    for fault in faults:
        assert fault in said
    for secret in (A, B, "secret", "anna"):
        assert secret not in said


def test_the_token_of_the_private_port_sends_no_labels() -> None:
    with pytest.raises(SettingsError, match="FEEDBACK_TOKENS holds the token of the private port") as error:
        Settings.read({}, bundle="b", admin_port=0, admin_token=A, feedback_tokens=f"anna={A}")
    assert A not in str(error.value)


def test_no_token_is_in_a_representation() -> None:
    settings = Settings.read({}, bundle="b", feedback_tokens=f"anna={A}")
    assert A not in repr(settings) + repr(settings.feedback_tokens)
