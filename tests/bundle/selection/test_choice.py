"""The choice of the engine: the fastest certified one, timed once per machine."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes.signing_keys import write_pair
from fakes.subprocess_work import die
from fakes.tiny_bundle import tiny_draft
from hypothesis import given
from hypothesis import strategies as st

from bundle.engines.contract import EngineKey, EngineUnavailable
from bundle.engines.installed import usable_keys
from bundle.engines.model import open_model
from bundle.loader import load_bundle
from bundle.manifest import BundleManifest, BundleTampered
from bundle.policy import CertificateEntry
from bundle.selection import choice as choice_module
from bundle.selection import timing
from bundle.selection.choice import (
    EnginePreference,
    candidates,
    choose_engine,
    first_choice,
    seconds_per_image,
)
from bundle.selection.issued import IssuedCertificates, NotIssued
from bundle.selection.timing import best_batch, time_stage
from bundle.selection.timing_cache import TimingCache
from bundle.signing.envelope import SignatureRefused
from bundle.signing.policy import SignaturePolicy
from bundle.system.machine import Machine, this_machine
from bundle.system.subprocess_call import call_in_subprocess
from bundle.verify import verify_bundle
from bundle.writer import write_bundle
from calibration.decision import OperatingPoint
from calibration.scores import StageOutputs

ORT, ORT8 = EngineKey("onnxruntime-cpu", "fp32"), EngineKey("onnxruntime-cpu", "int8")
VINO, VINO8 = EngineKey("openvino", "fp32"), EngineKey("openvino", "int8")
EVERYWHERE = tuple(str(key) for key in usable_keys())
MakeBundle = Callable[..., Path]


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that is certified on every engine and precision of this machine."""
    folder = tmp_path_factory.mktemp("family") / "bundle"
    write_bundle(tiny_draft(precisions=("fp32", "int8"), certified=EVERYWHERE), folder)
    return folder


@pytest.fixture(scope="module")
def strict_in_int8(tmp_path_factory: pytest.TempPathFactory) -> Path:
    draft = tiny_draft(
        precisions=("fp32", "int8"), certified=("onnxruntime-cpu/fp32", "onnxruntime-cpu/int8")
    )
    full, small = draft.certificates
    point = OperatingPoint(tuple(replace(rule, threshold=1e6) for rule in small.operating_point.stages))
    strict = CertificateEntry(
        engine=small.engine,
        precision=small.precision,
        certificate=replace(small.certificate, threshold=(1e6, 1e6)),
        operating_point=point,
    )
    folder = tmp_path_factory.mktemp("strict") / "bundle"
    write_bundle(replace(draft, certificates=(full, strict)), folder)
    return folder


def with_certificate(entry: CertificateEntry, **changes: object) -> CertificateEntry:
    return entry.model_copy(update={"certificate": replace(entry.certificate, **changes)})  # type: ignore[arg-type]


class TestCandidates:
    def test_everything_certified_that_is_here(self, family: Path) -> None:
        assert {str(key) for key in candidates(verify_bundle(family), EnginePreference())} == set(EVERYWHERE)

    @pytest.mark.parametrize(
        ("preference", "expected"),
        [
            (EnginePreference(engine="onnxruntime-cpu"), {ORT, ORT8}),
            (EnginePreference(precision="int8"), {ORT8, VINO8}),
            (EnginePreference("openvino", "fp32"), {VINO}),
        ],
    )
    def test_a_preference_narrows_them(
        self, family: Path, preference: EnginePreference, expected: set[EngineKey]
    ) -> None:
        assert set(candidates(verify_bundle(family), preference)) == expected

    def test_an_uncertified_engine_is_chosen_only_on_request(self, make_tiny_bundle: MakeBundle) -> None:
        manifest = verify_bundle(make_tiny_bundle(precisions=("fp32", "int8")))
        assert candidates(manifest, EnginePreference()) == (ORT,)
        assert candidates(manifest, EnginePreference(precision="int8")) == (ORT8,)
        assert candidates(manifest, EnginePreference(engine="openvino"))[0].engine == "openvino"

    def test_certificates_that_meet_their_coverage_come_first(self, family: Path) -> None:
        manifest = verify_bundle(family)
        entries = tuple(
            with_certificate(entry, meets_coverage=entry.key == str(ORT)) for entry in manifest.certificates
        )
        manifest = manifest.model_copy(update={"certificates": entries})
        assert candidates(manifest, EnginePreference()) == (ORT,)
        assert candidates(manifest, EnginePreference(engine="openvino", precision="fp32")) == (VINO,)

    def test_an_infeasible_bundle_has_one_all_the_same(self, make_tiny_bundle: MakeBundle) -> None:
        manifest = verify_bundle(make_tiny_bundle(feasible=False, certified=("openvino/fp32",)))
        assert candidates(manifest, EnginePreference()) == (VINO,)

    @pytest.mark.parametrize(
        ("preference", "message"),
        [
            (EnginePreference(engine="onnxruntime-cuda"), r"extra \[gpu\]"),
            (EnginePreference(engine="tpu"), "must be one of onnxruntime-cuda"),
            (EnginePreference(precision="fp8"), "must be one of bf16, fp32, int8"),
            (EnginePreference("onnxruntime-cpu", "bf16"), "does not compute at 'bf16'"),
            (EnginePreference(precision="int8"), "no model that can be computed at int8 here; it has fp32"),
        ],
    )
    def test_an_unavailable_engine_is_named(
        self, tiny_bundle: Path, preference: EnginePreference, message: str
    ) -> None:
        with pytest.raises(EngineUnavailable, match=message):
            candidates(verify_bundle(tiny_bundle), preference)

    def test_without_timing_the_first_certificate_decides(self, family: Path) -> None:
        manifest = verify_bundle(family)
        assert str(first_choice(manifest, EnginePreference())) == manifest.certificates[0].key


class TestChoice:
    def test_the_fastest_is_chosen_and_the_others_are_reported(self, family: Path, tmp_path: Path) -> None:
        choice = choose_engine(
            family, EnginePreference(), TimingCache(tmp_path), IssuedCertificates(tmp_path), seconds=0.5
        )
        manifest = verify_bundle(family)
        cost = {key: seconds_per_image(manifest, key, stages) for key, stages in choice.seconds.items()}
        assert set(map(str, cost)) == set(EVERYWHERE)
        assert choice.key == min(cost, key=cost.__getitem__)
        assert f"the fastest of {len(EVERYWHERE)} certified ones" in choice.why
        assert len(choice.batch_sizes) == 2

    def test_it_is_timed_once(self, family: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        messages: list[str] = []
        first = choose_engine(
            family,
            EnginePreference(),
            TimingCache(tmp_path),
            IssuedCertificates(tmp_path),
            seconds=0.2,
            say=messages.append,
        )
        assert len(messages) == 1
        assert "up to 0.2 s" in messages[0]
        monkeypatch.setattr(choice_module, "time_stages", never)
        assert (
            choose_engine(
                family,
                EnginePreference(),
                TimingCache(tmp_path),
                IssuedCertificates(tmp_path),
                say=messages.append,
            )
            == first
        )
        assert len(messages) == 1

    def test_nothing_unsigned_is_timed(
        self, family: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(choice_module, "_timed", lambda *_: pytest.fail("its models were computed"))
        trust = SignaturePolicy("require", (write_pair(tmp_path, "key").public,))
        cache, issued = TimingCache(tmp_path), IssuedCertificates(tmp_path)
        with pytest.raises(SignatureRefused, match="not signed"):
            choose_engine(family, EnginePreference(), cache, issued, trust=trust)

    def test_one_of_several_workers_measures(
        self, family: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        calls: list[int] = []

        def counted(*args: object, **named: object) -> object:
            calls.append(1)
            return call_in_subprocess(*args, **named)  # type: ignore[arg-type]

        monkeypatch.setattr(choice_module, "call_in_subprocess", counted)

        def start(_: int) -> choice_module.EngineChoice:
            return choose_engine(
                family, EnginePreference(), TimingCache(tmp_path), IssuedCertificates(tmp_path), seconds=0.2
            )

        with ThreadPoolExecutor(4) as pool:
            choices = list(pool.map(start, range(4)))
        assert len(calls) == 1
        assert all(choice == choices[0] for choice in choices)

    def test_another_preference_times_only_what_is_missing(self, family: Path, tmp_path: Path) -> None:
        messages: list[str] = []
        one = EnginePreference("onnxruntime-cpu", "fp32")
        choose_engine(
            family, one, TimingCache(tmp_path), IssuedCertificates(tmp_path), seconds=0.1, say=messages.append
        )
        choose_engine(
            family,
            EnginePreference("onnxruntime-cpu"),
            TimingCache(tmp_path),
            IssuedCertificates(tmp_path),
            seconds=0.1,
            say=messages.append,
        )
        assert [text.split(" for ")[0] for text in messages] == [f"timing {ORT}", f"timing {ORT8}"]

    def test_with_everything_given_nothing_is_timed(
        self, family: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(choice_module, "time_stages", never)
        preference = EnginePreference("openvino", "fp32", batch=4)
        choice = choose_engine(family, preference, TimingCache(tmp_path), IssuedCertificates(tmp_path))
        assert (choice.key, choice.batch_sizes, choice.why) == (VINO, (4, 4), "requested")

    def test_a_batch_rules_out_what_is_computed_one_by_one(self, family: Path) -> None:
        assert {key.precision for key in candidates(verify_bundle(family), EnginePreference(batch=4))} <= {
            "fp32",
            "bf16",
        }
        assert ORT8 in candidates(verify_bundle(family), EnginePreference(batch=1))
        with pytest.raises(
            EngineUnavailable, match=r"batch is 4, but on .*int8 images are computed one by one"
        ):
            candidates(verify_bundle(family), EnginePreference(precision="int8", batch=4))

    def test_an_uncertified_choice_says_so(self, make_tiny_bundle: MakeBundle) -> None:
        folder = make_tiny_bundle(certified=("openvino/fp32",))
        choice = choose_engine(
            folder,
            EnginePreference("onnxruntime-cpu"),
            TimingCache(None),
            IssuedCertificates(None),
            seconds=0.1,
        )
        assert (choice.key, choice.issued_here) == (ORT, None)
        assert choice.why == "no engine that the bundle is certified on is available here"

    def test_a_batch_that_changes_scores_is_refused(
        self, family: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        manifest = verify_bundle(family)
        engines = timing.open_stages(family, manifest, ORT)
        timing.require_batch_invariance(family, manifest, engines, 64)
        with pytest.raises(EngineUnavailable, match=r"batch is 4, .* one image at a time"):
            timing.require_batch_invariance(family, manifest, timing.open_stages(family, manifest, ORT8), 4)
        monkeypatch.setattr(timing, "SAME_SCORES", -1.0)
        with pytest.raises(EngineUnavailable, match=r"batch is 4, .* other scores together"):
            timing.require_batch_invariance(family, manifest, engines, 4)

    def test_another_machine_or_version_is_timed_again(
        self, family: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        messages: list[str] = []
        preference = EnginePreference("onnxruntime-cpu", "fp32")
        choose_engine(
            family,
            preference,
            TimingCache(tmp_path),
            IssuedCertificates(tmp_path),
            seconds=0.1,
            say=messages.append,
        )
        other = replace(this_machine(()), runtimes=("onnxruntime 99.0",))
        monkeypatch.setattr(choice_module, "this_machine", lambda runtimes: other)
        choose_engine(
            family,
            preference,
            TimingCache(tmp_path),
            IssuedCertificates(tmp_path),
            seconds=0.1,
            say=messages.append,
        )
        assert len(messages) == 2

    def test_an_engine_that_proves_unavailable_is_omitted(
        self, family: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = timing.open_stages

        def open_all_but_openvino(folder: Path, manifest: BundleManifest, key: EngineKey) -> object:
            if key.engine == "openvino":
                raise EngineUnavailable("its driver is gone")
            return real(folder, manifest, key)

        monkeypatch.setattr(timing, "open_stages", open_all_but_openvino)
        monkeypatch.setattr(choice_module, "call_in_subprocess", here)
        messages: list[str] = []
        choice = choose_engine(
            family,
            EnginePreference(),
            TimingCache(tmp_path),
            IssuedCertificates(tmp_path),
            seconds=0.2,
            say=messages.append,
        )
        assert choice.key.engine == "onnxruntime-cpu"
        assert any("openvino/fp32 is not available: its driver is gone" in text for text in messages)
        with pytest.raises(EngineUnavailable, match="none of openvino"):
            choose_engine(
                family,
                EnginePreference("openvino"),
                TimingCache(tmp_path),
                IssuedCertificates(tmp_path),
                seconds=0.1,
            )

    def test_a_timing_that_dies_costs_a_line_and_the_first_certificate_serves(
        self, family: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        messages: list[str] = []
        with monkeypatch.context() as crashing:
            crashing.setattr(choice_module, "time_stages", die)
            choice = choose_engine(
                family,
                EnginePreference(),
                TimingCache(tmp_path),
                IssuedCertificates(tmp_path),
                say=messages.append,
            )
        assert str(choice.key) == verify_bundle(family).certificates[0].key
        assert (choice.batch_sizes, choice.seconds) == ((1, 1), {})
        assert f"the first of {len(EVERYWHERE)} certified ones" in choice.why
        assert "its process ended with 3; the next start tries again" in messages[-1]
        again = choose_engine(
            family,
            EnginePreference(),
            TimingCache(tmp_path),
            IssuedCertificates(tmp_path),
            seconds=0.2,
            say=messages.append,
        )
        assert len(again.seconds) == len(EVERYWHERE)


def here(work: Callable[..., object], *, limit: float, say: Callable[[str], None]) -> object:
    return work(say=say)


def never(*args: object, **named: object) -> object:
    raise AssertionError("nothing was to be timed")


class TestTimingCache:
    MACHINE = Machine("a processor", ("avx2",), ("onnxruntime 1.0",))

    @pytest.mark.parametrize(
        "content", [b"", b"{", b"[]", b"\xff\x00", b'{"bundle": 1}', b'{"bundle": "b", "machine": "m"}']
    )
    def test_a_damaged_file_costs_a_timing_and_a_line(
        self, family: Path, tmp_path: Path, content: bytes
    ) -> None:
        preference = EnginePreference("onnxruntime-cpu", "fp32")
        choose_engine(family, preference, TimingCache(tmp_path), IssuedCertificates(tmp_path), seconds=0.1)
        (file,) = (tmp_path / "engines").glob("*.json")
        file.write_bytes(content)
        messages: list[str] = []
        choose_engine(
            family,
            preference,
            TimingCache(tmp_path, messages.append),
            IssuedCertificates(tmp_path),
            seconds=0.1,
            say=messages.append,
        )
        assert len(messages) == 2
        assert "will be replaced" in messages[0]
        choose_engine(
            family,
            preference,
            TimingCache(tmp_path, messages.append),
            IssuedCertificates(tmp_path),
            say=messages.append,
        )
        assert len(messages) == 2

    def test_a_place_that_cannot_be_written_costs_a_line(self, family: Path, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("in the way")
        messages: list[str] = []
        preference = EnginePreference("onnxruntime-cpu", "fp32")
        cache = TimingCache(tmp_path / "file", messages.append)
        assert (
            choose_engine(
                family, preference, cache, IssuedCertificates(tmp_path), seconds=0.1, say=messages.append
            ).key
            == ORT
        )
        assert any("no timing can be kept" in text for text in messages)
        assert any("cannot be written" in text for text in messages)

    def test_nothing_is_left_of_a_memory_without_a_place(self, family: Path) -> None:
        assert (
            choose_engine(
                family,
                EnginePreference("openvino", "fp32"),
                TimingCache(None),
                IssuedCertificates(None),
                seconds=0.1,
            ).key
            == VINO
        )

    def test_the_oldest_files_go(self, tmp_path: Path) -> None:
        cache = TimingCache(tmp_path)
        for number in range(60):
            cache.save(cache.load(f"{number:016x}", self.MACHINE))
        assert len(list((tmp_path / "engines").glob("*.json"))) == 50

    def test_timings_survive(self, tmp_path: Path) -> None:
        cache = TimingCache(tmp_path)
        record = cache.load("ab" * 8, self.MACHINE).model_copy(
            update={"seconds": {"onnxruntime-cpu/fp32": ({1: 0.01, 2: 0.02}, {1: 0.5})}}
        )
        cache.save(record)
        assert cache.load("ab" * 8, self.MACHINE) == record


class TestIssued:
    """One certificate a bundle and data folder, whatever becomes of it."""

    RESERVE = "ab" * 32

    @pytest.fixture
    def entry(self, family: Path) -> CertificateEntry:
        found = verify_bundle(family).entry(str(ORT))
        assert found is not None
        return found

    def test_one_engine_takes_it_and_keeps_it(self, tmp_path: Path, entry: CertificateEntry) -> None:
        IssuedCertificates(tmp_path).claim(self.RESERVE, ORT)
        IssuedCertificates(tmp_path).keep(self.RESERVE, entry)
        claim = IssuedCertificates(tmp_path).read(self.RESERVE)
        assert claim is not None
        assert (claim.key, claim.entry) == (str(ORT), entry)
        with pytest.raises(
            NotIssued, match=r"one engine that it does not name, and here onnxruntime-cpu/fp32"
        ):
            IssuedCertificates(tmp_path).claim(self.RESERVE, VINO)

    def test_an_interrupted_proof_may_be_finished_and_no_other_begun(
        self, tmp_path: Path, entry: CertificateEntry
    ) -> None:
        issued = IssuedCertificates(tmp_path)
        issued.claim(self.RESERVE, ORT)
        issued.claim(self.RESERVE, ORT)
        with pytest.raises(NotIssued):
            issued.claim(self.RESERVE, VINO)
        issued.keep(self.RESERVE, entry)

    def test_of_several_at_once_one_engine_gets_it(self, tmp_path: Path) -> None:
        def claim(key: EngineKey) -> bool:
            try:
                IssuedCertificates(tmp_path).claim(self.RESERVE, key)
            except NotIssued:
                return False
            return True

        with ThreadPoolExecutor(4) as pool:
            assert sum(pool.map(claim, (ORT, ORT8, VINO, VINO8))) <= 1
        assert list((tmp_path / "issued").iterdir())

    def test_another_bundle_has_its_own(self, tmp_path: Path) -> None:
        IssuedCertificates(tmp_path).claim(self.RESERVE, ORT)
        IssuedCertificates(tmp_path).claim("cd" * 32, VINO)

    def test_without_a_record_nothing_is_issued(self, tmp_path: Path) -> None:
        with pytest.raises(NotIssued, match="no data folder"):
            IssuedCertificates(None).claim(self.RESERVE, ORT)
        (tmp_path / "file").write_text("in the way")
        with pytest.raises(NotIssued):
            IssuedCertificates(tmp_path / "file").claim(self.RESERVE, ORT)

    @pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff"])
    def test_a_damaged_record_is_no_second_chance(self, tmp_path: Path, content: bytes) -> None:
        IssuedCertificates(tmp_path).claim(self.RESERVE, ORT)
        (file,) = (tmp_path / "issued").iterdir()
        file.write_bytes(content)
        with pytest.raises(NotIssued, match="cannot be read"):
            IssuedCertificates(tmp_path).claim(self.RESERVE, ORT)


class _Machine:
    """An engine of known speed: `fixed` seconds a call and `each` an image; in int8 its scores move."""

    def __init__(self, fixed: float, each: float, drift: float = 0.0) -> None:
        self.fixed, self.each, self.drift = fixed, each, drift
        self.one_by_one = False
        self.now = 0.0

    def run(self, batch: np.ndarray) -> StageOutputs:
        self.now += self.fixed + self.each * len(batch)
        return StageOutputs(np.ones((len(batch), 2)) * [0.0, 1.0 + self.drift * len(batch)], None)


class TestProbe:
    IMAGES = np.zeros((16, 3, 4, 4), dtype=np.float32)

    def timed(self, machine: _Machine, seconds: float, monkeypatch: pytest.MonkeyPatch) -> dict[int, float]:
        monkeypatch.setattr(timing, "perf_counter", lambda: machine.now)
        return dict(time_stage(machine, self.IMAGES, seconds))  # type: ignore[arg-type]

    def test_where_batches_gain_nothing_one_image_is_best(self, monkeypatch: pytest.MonkeyPatch) -> None:
        timed = self.timed(_Machine(0.0, 0.01), 60.0, monkeypatch)
        assert list(timed) == [1, 2, 4, 8, 16]
        assert best_batch(timed) == 1

    def test_where_a_call_costs_most_the_largest_batch_is_best(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert best_batch(self.timed(_Machine(0.01, 0.0001), 60.0, monkeypatch)) == 16

    def test_a_batch_that_changes_scores_is_not_offered(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert list(self.timed(_Machine(0.01, 0.0001, drift=0.01), 60.0, monkeypatch)) == [1]

    @given(fixed=st.floats(0, 1), each=st.floats(1e-4, 1), seconds=st.floats(0.1, 5))
    def test_the_time_is_kept(self, fixed: float, each: float, seconds: float) -> None:
        machine = _Machine(fixed, each)
        with pytest.MonkeyPatch.context() as patch:
            timed = self.timed(machine, seconds, patch)
        # Two single images whatever they take, then at most one step of the largest size beyond.
        assert machine.now <= seconds + 2 * (fixed + each) + 16 * (fixed + each) * 2
        assert 1 in timed

    def test_an_engine_that_computes_images_alone_is_timed_alone(self) -> None:
        model = next(iter(tiny_draft(precisions=("fp32", "int8")).stages)).models["int8"]
        assert isinstance(model, bytes)
        images = np.zeros((16, 3, 16, 16), dtype=np.float32)
        assert list(time_stage(open_model(model, precision="int8"), images, 1.0)) == [1]
        assert len(time_stage(open_model(model), images, 1.0)) > 1


class TestOperatingPoints:
    """Each engine and precision decides by the point that was certified for it."""

    def test_the_same_images_are_decided_by_each_point(self, strict_in_int8: Path) -> None:
        images = [candidate.data for candidate in tiny_draft().golden_candidates]
        full, small = (load_bundle(strict_in_int8, key=key) for key in (ORT, ORT8))
        assert {decision.decision for decision in full.runner.decide(images)} == {"answer", "abstain"}
        assert {decision.decision for decision in small.runner.decide(images)} == {"abstain"}
        assert (full.certified, small.certified, small.key) == (True, True, "onnxruntime-cpu/int8")

    def test_a_tampered_int8_model_is_refused(self, strict_in_int8: Path, tmp_path: Path) -> None:
        folder = Path(shutil.copytree(strict_in_int8, tmp_path / "bundle"))
        model = folder / "stage_b" / "model.int8.onnx"
        content = bytearray(model.read_bytes())
        content[len(content) // 2] ^= 1
        model.write_bytes(content)
        for key in (ORT, ORT8):
            with pytest.raises(BundleTampered, match=r"stage_b/model.int8.onnx: was changed"):
                load_bundle(folder, key=key)

    def test_bf16_needs_no_file_of_its_own(self, family: Path) -> None:
        if "openvino/bf16" not in EVERYWHERE:
            pytest.skip("this CPU has no bf16 instructions")
        assert set(verify_bundle(family).stages[0].models) == {"fp32", "int8"}
        assert load_bundle(family, key=EngineKey("openvino", "bf16")).certified

    @pytest.mark.parametrize("key", usable_keys(), ids=str)
    def test_golden_cases_hold_on_every_engine(self, family: Path, key: EngineKey) -> None:
        loaded = load_bundle(family, key=key, calls=2)
        assert loaded.certified
        assert str(key) in loaded.manifest.golden_tolerances
