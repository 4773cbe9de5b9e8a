"""`demur registry`: what each verb prints, keeps and refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes.command_line import Demur
from fakes.generations import promotion
from fakes.signing_keys import write_pair

from bundle.registry import changes, keys
from bundle.registry.generation import Challenger, Change, Generation, Ref
from bundle.registry.opening import open_registry
from bundle.registry.registry import Registry
from demur.commands.registry_progress import size_text, transfer_bar
from monitoring.fleet.report import ServiceReport
from monitoring.fleet.reports import FleetReports
from monitoring.store.embedded_valkey import EmbeddedValkey

MARCH = 1_772_323_200.0
"""2026-03-01, midnight in UTC"""
DAY = 86_400.0


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DEMUR_REDIS_URL", raising=False)
    monkeypatch.setenv("DEMUR_REGISTRY", str(tmp_path / "registry"))
    return open_registry(str(tmp_path / "registry"))


@pytest.fixture
def served(make_tiny_bundle: Callable[..., Path], registry: Registry) -> list[Ref]:
    """Three bundles: the first was champion from March 1 on, the second from March 2 on, the third is a
    challenger."""
    refs = [registry.push(make_tiny_bundle(stages=1, name=f"b{number}"), "Ada") for number in range(3)]
    fleet = registry.fleet("scenes")

    def some(now: Generation | None) -> Generation:
        assert now is not None
        return now

    fleet.change(lambda now: changes.promoted(now, refs[0], Change(MARCH, "Ada", "the first")))
    second = Change(MARCH + DAY, "Bob", "fewer errors", "p1")
    fleet.change(lambda now: changes.promoted(now, refs[1], second))
    third = Challenger("new", refs[2], 0.25)
    fleet.change(lambda now: changes.with_challenger(some(now), third, Change(MARCH + 2 * DAY, "Bob", "try")))
    registry.location.put(keys.promotion_report("scenes", "p1"), b"# report")
    return refs


def test_push_list_and_pull(demur: Demur, registry: Registry, tiny_bundle: Path, tmp_path: Path) -> None:
    pushed = demur("registry", "push", tiny_bundle, "--by", "Ada")
    assert pushed.code == 0, pushed.err
    [record] = registry.bundles()
    assert f"{record.ref.label} is in {registry.address}" in pushed.out
    assert f"digest: {record.digest}" in pushed.out
    assert "by Ada" in pushed.out
    listed = demur("registry", "list")
    assert record.ref.label in listed.out
    assert record.digest[:12] in listed.out
    pulled = demur("registry", "pull", record.ref.label, "--into", tmp_path / "into")
    folder = Path(pulled.out.splitlines()[-1])
    assert folder == tmp_path / "into" / record.digest
    assert (folder / "bundle.json").read_bytes() == (tiny_bundle / "bundle.json").read_bytes()
    again = json.loads(
        demur("registry", "pull", record.digest[:8], "--into", tmp_path / "into", "--json").out
    )
    assert again["folder"] == str(folder)
    values = json.loads(demur("registry", "push", tiny_bundle, "--by", "Bob", "--json").out)
    assert (values["digest"], values["by"]) == (record.digest, "Ada")


def test_repair_mends_what_pull_refuses(
    demur: Demur, registry: Registry, tiny_bundle: Path, tmp_path: Path
) -> None:
    digest = registry.push(tiny_bundle, "tests").digest
    file = Path(registry.address) / keys.bundle_file(digest, "README.md")
    file.write_bytes(b"x" * file.stat().st_size)
    refused = demur("registry", "pull", digest, "--into", tmp_path / "into")
    assert (refused.code, refused.out) == (2, "")
    assert "README.md was changed" in refused.err
    assert "demur registry push BUNDLE --repair" in refused.err
    assert demur("registry", "push", tiny_bundle, "--repair").code == 0
    assert demur("registry", "pull", digest, "--into", tmp_path / "into").code == 0


def test_a_key_refuses_what_it_has_not_signed(
    demur: Demur, registry: Registry, tiny_bundle: Path, tmp_path: Path
) -> None:
    public = write_pair(tmp_path, "key").public
    refused = demur("registry", "push", tiny_bundle, "--key", public)
    assert refused.code == 2
    assert "is not signed" in refused.err
    assert not Path(registry.address).exists()
    digest = registry.push(tiny_bundle, "tests").digest
    assert demur("registry", "pull", digest, "--into", tmp_path / "into", "--key", public).code == 2
    assert list((tmp_path / "into").iterdir()) == []


def test_the_list_shows_what_serves(demur: Demur, registry: Registry, served: list[Ref]) -> None:
    out = demur("registry", "list").out
    for text in ("scenes/champion", "scenes/previous", "scenes/challenger-new (25 %)"):
        assert text in out
    values = json.loads(demur("registry", "list", "--json").out)
    assert {one["label"]: one["aliases"] for one in values["bundles"]} == {
        served[0].label: ["scenes/previous"],
        served[1].label: ["scenes/champion"],
        served[2].label: ["scenes/challenger-new"],
    }
    assert values["fleets"]["scenes"]["generation"] == 3


def test_the_list_tells_what_cannot_be_read(demur: Demur, registry: Registry, served: list[Ref]) -> None:
    record = Path(registry.address) / keys.bundle_record(served[0].digest)
    record.write_text("{")
    (Path(registry.address) / keys.bundle_record(served[1].digest)).unlink()
    out = demur("registry", "list").out
    assert f"{served[0].digest[:12]}: cannot be read" in out
    assert f"{served[1].digest[:12]}: a push that goes on or was broken off" in out


def test_the_history_says_what_served_who_decided_it_and_why(
    demur: Demur, registry: Registry, served: list[Ref]
) -> None:
    out = demur("registry", "history").out
    for text in ("2026-03-02 00:00:00 UTC", "Bob", "fewer errors", "p1", "challenger-new", served[1].label):
        assert text in out
    assert f"report of p1: {registry.address}/fleets/scenes/promotions/p1/report.md" in out.replace("\n", "")
    generations = json.loads(demur("registry", "history", "scenes", "--json").out)["generations"]
    assert [one["number"] for one in generations] == [1, 2, 3]
    assert generations[1]["report"].endswith("promotions/p1/report.md")


@pytest.mark.parametrize(
    ("at", "champion", "by"),
    [("2026-03-01T12:00", 0, "Ada"), ("2026-03-02", 1, "Bob"), ("2026-03-30", 1, "Bob")],
)
def test_the_history_of_a_moment(
    demur: Demur, registry: Registry, served: list[Ref], at: str, champion: int, by: str
) -> None:
    value = json.loads(demur("registry", "history", "--at", at, "--json").out)["aliases"]["champion"]
    assert (value["digest"], value["by"]) == (served[champion].digest, by)
    out = demur("registry", "history", "--at", at).out
    assert f"champion: {served[champion].label}" in out
    assert f"by {by}" in out


def test_before_its_first_record_a_fleet_served_nothing(
    demur: Demur, registry: Registry, served: list[Ref]
) -> None:
    assert "served nothing at 2026-02-01" in demur("registry", "history", "--at", "2026-02-01").out
    value = json.loads(demur("registry", "history", "--at", "2026-02-01", "--json").out)
    assert (value["generation"], value["aliases"]) == (None, {})


def test_a_running_promotion_is_part_of_the_history(
    demur: Demur, registry: Registry, served: list[Ref]
) -> None:
    fleet = registry.fleet("scenes")
    newest = fleet.newest()
    assert newest is not None
    state = promotion(served[2], id="p2", phase="canary", step=1)
    fleet.append(changes.with_promotion(newest, state, Change(MARCH + 3 * DAY, "Bob", "step", "p2")))
    assert f"promotion p2 of {served[2].label}: canary, step 1" in demur("registry", "history").out


def test_gc_without_a_store_says_what_it_could_not_ask(
    demur: Demur, registry: Registry, served: list[Ref]
) -> None:
    refused = demur("registry", "gc", "--keep-pushed", "0")
    assert refused.code == 2
    assert "which bundles the running services have open was not asked" in refused.err
    assert "--without-services" in refused.err
    dry = demur("registry", "gc", "--dry-run")
    assert dry.code == 0
    assert "was not asked" in dry.err
    assert len(registry.bundles()) == 3


def test_gc_says_what_goes_and_why_the_rest_stays(
    demur: Demur, registry: Registry, served: list[Ref], make_tiny_bundle: Callable[..., Path]
) -> None:
    unused = registry.push(make_tiny_bundle(stages=1, name="unused"), "tests")
    options = ("registry", "gc", "--without-services", "--keep-pushed", "0")
    dry = demur(*options, "--dry-run").out
    assert f"would go: {unused.label}" in dry
    assert f"stays: {served[1].label}" in dry
    assert "scenes/champion" in dry
    assert registry.has(unused.digest)
    young = demur("registry", "gc", "--without-services").out
    assert "pushed 0 h ago, and what is younger than 24 h stays" in young
    values = json.loads(demur(*options, "--json").out)
    assert [one["digest"] for one in values["goes"]] == [unused.digest]
    assert values["freed_bytes"] > 0
    assert not registry.has(unused.digest)
    assert "0 of 3 bundles" in demur(*options).out


def test_gc_asks_the_services_what_they_have_open(
    demur: Demur, registry: Registry, served: list[Ref], make_tiny_bundle: Callable[..., Path], tmp_path: Path
) -> None:
    held, unused = (
        registry.push(make_tiny_bundle(stages=1, name=name), "tests") for name in ("held", "unused")
    )
    with EmbeddedValkey(tmp_path / "valkey") as valkey:
        with FleetReports(valkey.url, "scenes") as reports:
            report = ServiceReport("host-1", 0.0, 3, served[1].digest, served[1].label, (held.digest,))
            reports.report(report)
        ended = demur("registry", "gc", "--keep-pushed", "0", "--store", valkey.url)
    assert f"gone: {unused.label}" in ended.out
    assert "service host-1 of scenes has it open" in ended.out
    assert "was not asked" not in ended.err
    assert registry.has(held.digest)
    gone = demur("registry", "gc", "--keep-pushed", "0", "--store", "redis://127.0.0.1:9")
    assert gone.code == 2
    assert len(registry.bundles()) == 4


def test_a_registry_that_is_not_named_or_not_there_is_said(
    demur: Demur, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("DEMUR_REGISTRY", raising=False)
    assert "give --registry ADDRESS" in demur("registry", "list").err
    nothing = demur("registry", "list", "--registry", tmp_path / "nothing")
    assert nothing.code == 2
    assert "is no registry yet" in nothing.err
    assert not (tmp_path / "nothing").exists()
    assert demur("registry", "push", tmp_path, "--registry", tmp_path / "nothing").code == 2
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("pull", "champion"),
        ("pull", "scenes:0123"),
        ("pull", "../x"),
        ("pull", "a" * 64),
        ("pull", "x" * 5000),
        ("history", "../x"),
        ("history", "--at", "noon"),
        ("gc", "--keep-history", "-1"),
        ("gc", "--keep-pushed", "nan"),
    ],
)
def test_bad_input_is_one_message(
    demur: Demur, registry: Registry, tiny_bundle: Path, arguments: tuple[str, ...]
) -> None:
    registry.push(tiny_bundle, "tests")
    ended = demur("registry", *arguments)
    assert ended.code == 2
    assert "Traceback" not in ended.err
    assert len(ended.err) < 2000


def test_sizes_are_for_people() -> None:
    found = [size_text(size) for size in (0, 999, 1000, 12_345_678, 5 * 10**12)]
    assert found == ["0 bytes", "999 bytes", "1.0 kB", "12.3 MB", "5000.0 GB"]


def test_a_bar_shows_nothing_where_there_is_no_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    with transfer_bar("to a place") as on:
        on(0, 10)
        on(10, 10)
    assert capfd.readouterr() == ("", "")
