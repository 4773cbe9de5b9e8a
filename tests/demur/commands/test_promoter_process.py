"""The promoter of a service: `demur promote` as a process, what it is given, and its last words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fakes.fleet_bundles import write_fleet_bundle
from fakes.waiting import eventually

from bundle.registry.opening import open_registry
from demur.commands.promoter_process import PromoterProcess
from service.admin.promoter import PromotionOrder
from service.settings import Settings

PLAN = {"services": 0, "gates": {"leave_out": ["latency", "memory", "start"]}}


@pytest.fixture
def promoter(tmp_path: Path) -> PromoterProcess:
    settings = Settings(bundle=tmp_path, registry=str(tmp_path / "registry"), data_dir=tmp_path / "data")
    return PromoterProcess(settings)


def test_a_promotion_runs_beside_the_service_and_its_output_is_kept(
    promoter: PromoterProcess, tmp_path: Path
) -> None:
    registry = open_registry(str(tmp_path / "registry"))
    newcomer = registry.push(write_fleet_bundle(tmp_path / "one"), "tests")
    run = promoter.begin(PromotionOrder("tiny", "Ada", "the first; $(rm -rf x)", newcomer.digest, PLAN))
    eventually(lambda: run.ended() is not None)
    assert "is promoted" in str(run.ended())
    newest = registry.fleet("tiny").newest()
    assert newest is not None
    assert newest.champion == newcomer
    assert newest.promotion is not None
    assert newest.promotion.started.by == "Ada"
    assert newest.promotion.started.reason == "the first; $(rm -rf x)"
    assert run.output.parent == tmp_path / "data" / "promotions"
    assert json.loads(run.output.with_suffix(".yaml").read_text()) == PLAN
    again = promoter.begin(PromotionOrder("tiny", "Ada", "again", newcomer.digest, PLAN))
    eventually(lambda: again.ended() is not None)
    assert str(again.ended()).endswith("nothing was changed")
    assert "the champion of fleet tiny already" in str(again.ended())


def test_one_is_at_work_at_a_time_and_ends_with_the_service(
    promoter: PromoterProcess, tmp_path: Path
) -> None:
    registry = open_registry(str(tmp_path / "registry"))
    newcomer = registry.push(write_fleet_bundle(tmp_path / "one"), "tests")
    order = PromotionOrder("tiny", "Ada", "", newcomer.digest, {**PLAN, "approve": "required"})
    run = promoter.begin(order)

    def waits() -> bool:
        newest = registry.fleet("tiny").newest()
        state = None if newest is None else newest.promotion
        assert run.ended() is None
        return state is not None and state.phase == "approval"

    eventually(waits)
    assert promoter.begin(order).output == run.output
    promoter.close()
    assert run.ended() is not None
    newest = registry.fleet("tiny").newest()
    assert newest is not None
    assert newest.promotion is not None
    assert newest.promotion.phase == "approval"


def test_a_plan_with_a_fault_is_said_in_the_last_words(promoter: PromoterProcess, tmp_path: Path) -> None:
    registry = open_registry(str(tmp_path / "registry"))
    newcomer = registry.push(write_fleet_bundle(tmp_path / "one"), "tests")
    run = promoter.begin(
        PromotionOrder("tiny", "Ada", "", newcomer.digest, {"canary": [{"share": 1.5}], "x": 1})
    )
    eventually(lambda: run.ended() is not None)
    said = str(run.ended())
    assert "the plan has" in said
    assert "canary[0].share" in said
    assert "there is no such field" in said
