"""The offline step takes bundles out of the registry, with the signature that the plan trusts."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from fakes.signing_keys import write_pair

from bundle.registry.generation import Ref
from bundle.registry.opening import open_registry
from bundle.registry.registry import Registry
from bundle.sign import SigningKey, sign_bundle
from deploy.gates.outcome import GateResult
from deploy.gates.plan import GatesPlan
from deploy.promotion.offline_step import OfflineGates, offline_results

ENGINES = ("golden", "certificate", "latency", "memory", "start")


@pytest.fixture
def signed(tiny_bundle: Path, tmp_path: Path) -> tuple[Registry, Ref, list[Path]]:
    """(registry, a bundle in it that three keys have signed, their public keys)"""
    registry = open_registry(str(tmp_path / "registry"))
    keys = [write_pair(tmp_path / "keys", name) for name in ("one", "two", "three")]
    for number, pair in enumerate(keys):
        copy = shutil.copytree(tiny_bundle, tmp_path / f"copy-{number}")
        sign_bundle(copy, SigningKey(pair.private))
        ref = registry.push(copy, "tests")
    return registry, ref, [pair.public for pair in keys]


def asked(registry: Registry, ref: Ref, keys: list[Path]) -> GateResult:
    gates: dict[str, Any] = {"mode": "require", "trusted_keys": [str(key) for key in keys]}
    plan = GatesPlan.model_validate({"leave_out": ENGINES, "signature": gates})
    results, fault = offline_results(
        OfflineGates(), registry, plan, (ref, None), lambda _: None, lambda: False
    )
    assert fault is None
    return next(one for one in results if one.gate == "signature")


@pytest.mark.parametrize("number", [0, 1, 2])
def test_of_several_signatures_the_trusted_one_is_asked(
    signed: tuple[Registry, Ref, list[Path]], number: int
) -> None:
    registry, ref, keys = signed
    assert asked(registry, ref, [keys[number]]).outcome == "passed"


def test_signatures_of_others_fail_and_no_key_decides_nothing(
    signed: tuple[Registry, Ref, list[Path]], tmp_path: Path
) -> None:
    registry, ref, _ = signed
    strange = asked(registry, ref, [write_pair(tmp_path / "keys", "strange").public])
    assert (strange.outcome, strange.figure) == ("failed", "another signature")
    assert asked(registry, ref, [tmp_path / "nowhere.pem"]).outcome == "inconclusive"
    assert asked(registry, ref, []).outcome == "inconclusive"
