"""The gate of bearer tokens: whose a token is, and how refusals slow down."""

from __future__ import annotations

import asyncio

import pytest

from service.http import token_gate
from service.http.token_gate import TokenGate

ONE, OTHER = "token-of-the-first-one", "token-of-the-other-one"


def header(value: str, name: str = "authorization") -> list[tuple[bytes, bytes]]:
    return [(b"host", b"here"), (name.encode(), value.encode())]


@pytest.fixture
def refused() -> list[str]:
    return []


@pytest.fixture
def gate(refused: list[str]) -> TokenGate:
    return TokenGate({"one": ONE, "other": OTHER}, refused.append)


def test_a_token_leads_to_its_owner(gate: TokenGate) -> None:
    assert gate.owner(header(f"Bearer {ONE}")) == "one"
    assert gate.owner(header(f"BEARER {OTHER}")) == "other"
    assert gate.owner(header(f"Bearer  {OTHER}  ")) == "other"


@pytest.mark.parametrize(
    "headers",
    [
        [],
        header(""),
        header("Bearer"),
        header(ONE),
        header(f"Basic {ONE}"),
        header(f"Bearer {ONE[:-1]}"),
        header(f"Bearer {ONE}x"),
        header(f"Bearer {ONE} {OTHER}"),
        header(f"Bearer {ONE}", "x-authorization"),
        [*header(f"Bearer {ONE}"), *header(f"Bearer {ONE}")],
    ],
)
def test_anything_else_has_no_owner(gate: TokenGate, headers: list[tuple[bytes, bytes]]) -> None:
    assert gate.owner(headers) is None


def test_refusals_are_counted_and_wait_longer_and_longer(
    gate: TokenGate, refused: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(token_gate.asyncio, "sleep", sleep)

    async def refuse(times: int, headers: list[tuple[bytes, bytes]]) -> None:
        for _ in range(times):
            assert (await gate.refusal(headers, "no")).field == "Authorization"

    asyncio.run(refuse(1, []))
    asyncio.run(refuse(199, header("Bearer wrong")))
    assert refused == ["missing", *199 * ["wrong"]]
    assert slept[0] == pytest.approx(0.02)
    assert slept == sorted(slept)
    assert slept[-1] == 2.0
