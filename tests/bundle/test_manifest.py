"""Manifests that contradict themselves, with digests computed again, are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes.forged_bundle import forge
from fakes.tiny_bundle import colour_image, colour_model, tiny_draft

from bundle.golden import GoldenMismatch
from bundle.loader import load_bundle
from bundle.manifest import MANIFEST_FILE, BundleError, BundleTampered, BundleTooNew, canonical_bytes
from bundle.verify import verify_bundle
from bundle.writer import write_bundle

MODEL_A = "stage_a/model.onnx"
CURVE = {"confidences": [1.0, 2.0], "weights": [1.5, 0.5]}


class TestForged:
    """Digests and version recomputed: what remains is whether the bundle matches itself."""

    def forged(self, bundle: Path, change: Callable[[dict[str, Any]], None], message: str) -> None:
        forge(bundle, change)
        with pytest.raises(BundleTampered, match=message) as caught:
            load_bundle(bundle)
        assert caught.value.file

    def test_a_golden_image_of_something_else(self, bundle: Path) -> None:
        (bundle / "golden/000.jpg").write_bytes(colour_image(1, 0.3))
        forge(bundle)
        verify_bundle(bundle)
        with pytest.raises(GoldenMismatch) as caught:
            load_bundle(bundle)
        assert caught.value.file == "golden/000.jpg"

    def test_a_golden_expectation(self, bundle: Path) -> None:
        def change(content: dict[str, Any]) -> None:
            expected = content["golden"][3]["expected"]["onnxruntime-cpu/fp32"]
            expected["probabilities"][0] = [0.5, 0.5]

        forge(bundle, change)
        with pytest.raises(GoldenMismatch, match=r"golden/003\.jpg"):
            load_bundle(bundle)

    def test_a_golden_decision(self, bundle: Path) -> None:
        def change(content: dict[str, Any]) -> None:
            content["golden"][0]["expected"]["onnxruntime-cpu/fp32"]["decision"]["label"] = 1

        forge(bundle, change)
        with pytest.raises(GoldenMismatch, match="decided"):
            load_bundle(bundle)

    def test_a_golden_image_that_is_none(self, bundle: Path) -> None:
        (bundle / "golden/000.jpg").write_bytes(b"no image")
        forge(bundle)
        with pytest.raises(GoldenMismatch, match="cannot be computed"):
            load_bundle(bundle)

    def test_a_model_of_other_weights(self, bundle: Path) -> None:
        (bundle / MODEL_A).write_bytes(colour_model(16, 6.0))
        forge(bundle)
        with pytest.raises(GoldenMismatch):
            load_bundle(bundle)

    def test_other_preprocessing(self, bundle: Path) -> None:
        forge(bundle, lambda content: content["stages"][0]["preprocess"].update(mean=[0.4, 0.5, 0.5]))
        with pytest.raises(GoldenMismatch):
            load_bundle(bundle)

    @pytest.mark.parametrize(
        "model",
        [
            b"",
            b"junk",
            colour_model(16, 5.0)[:-40],
            colour_model(16, 5.0, classes=3),
            colour_model(24, 5.0),
            colour_model(16, 5.0, gate=True),
        ],
        ids=["empty", "junk", "cut", "classes", "size", "gate"],
    )
    def test_a_model_that_does_not_fit(self, bundle: Path, model: bytes) -> None:
        (bundle / MODEL_A).write_bytes(model)
        forge(bundle)
        with pytest.raises(BundleTampered) as caught:
            load_bundle(bundle)
        assert caught.value.file == MODEL_A

    def test_thresholds_that_were_not_certified(self, bundle: Path) -> None:
        def change(content: dict[str, Any]) -> None:
            content["certificates"][0]["operating_point"]["stages"][1]["threshold"] = 0.5

        self.forged(bundle, change, "was proven at thresholds")

    def test_a_promise_that_the_counts_do_not_prove(self, bundle: Path) -> None:
        def change(content: dict[str, Any]) -> None:
            content["certificates"][0]["certificate"].update(alpha=0.001, errors=0, risk_upper_bound=0.001)

        self.forged(bundle, change, "do not prove a risk of at most 0.001 at delta 0.05")

    def test_figures_that_the_report_does_not_state(self, tmp_path: Path) -> None:
        report = {"measurements": [{"metric": "coverage", "value": 0.75, "low": None, "high": None}]}
        extra = {"metrics/report.json": json.dumps(report).encode()}
        write_bundle(replace(tiny_draft(), extra=extra), tmp_path / "reported")
        verify_bundle(tmp_path / "reported")
        forge(tmp_path / "reported", lambda content: content["evaluation"].update(coverage=0.99))
        with pytest.raises(BundleTampered, match=r"states coverage = 0\.99; metrics/report\.json says 0\.75"):
            load_bundle(tmp_path / "reported")

    @pytest.mark.parametrize("text", [b"", b"[]", b"{}", b'{"measurements": 3}', b"[" * 200_000])
    def test_a_report_that_is_none(self, tmp_path: Path, text: bytes) -> None:
        folder = tmp_path / "reported"
        write_bundle(replace(tiny_draft(), extra={"metrics/report.json": b'{"measurements": []}'}), folder)
        (folder / "metrics/report.json").write_bytes(text)
        forge(folder)
        with pytest.raises(BundleTampered, match="no report") as caught:
            verify_bundle(folder)
        assert caught.value.file == "metrics/report.json"

    def test_an_infeasible_certificate_that_answers(self, make_tiny_bundle: Callable[..., Path]) -> None:
        def change(content: dict[str, Any]) -> None:
            content["certificates"][0]["operating_point"]["stages"][1]["threshold"] = 0.5

        self.forged(make_tiny_bundle(feasible=False), change, "was proven at thresholds")

    def test_a_certificate_of_another_engine(self, bundle: Path) -> None:
        self.forged(
            bundle,
            lambda content: content["certificates"][0].update(engine="onnxruntime-cuda"),
            "the certificate names engine onnxruntime-cpu/fp32, its entry onnxruntime-cuda/fp32",
        )

    @pytest.mark.parametrize(
        "path",
        [
            "../outside.onnx",
            "stage_a/../../x.onnx",
            "/etc/passwd",
            "a//b.onnx",
            "./a.onnx",
            "",
            ".x.onnx",
            "a\\b.onnx",
            "C:/x.onnx",
            "model.pkl",
            "model.pt",
            "a\n.onnx",
            "å.onnx",
            "x" * 300 + ".onnx",
        ],
    )
    def test_paths_that_lead_out_or_hide(self, bundle: Path, tmp_path: Path, path: str) -> None:
        (tmp_path / "outside.onnx").write_bytes((bundle / MODEL_A).read_bytes())

        def change(content: dict[str, Any]) -> None:
            content["files"][path] = content["files"].pop(MODEL_A)
            content["stages"][0]["models"]["fp32"] = path

        self.forged(bundle, change, r"bundle\.json")

    @pytest.mark.parametrize("schema", [5, 99, 10**30])
    def test_a_newer_schema(self, bundle: Path, schema: int) -> None:
        forge(bundle, lambda content: content.update(schema_version=schema, whatever={"new": True}))
        with pytest.raises(BundleTooNew, match="install a newer one"):
            load_bundle(bundle)

    def test_the_first_schema_has_no_curves_and_no_reference(self, bundle: Path) -> None:
        def to_first(content: dict[str, Any]) -> None:
            content["schema_version"] = 1
            del content["audits"], content["reference"], content["provenance"]["builds"]

        forge(bundle, to_first)
        loaded = load_bundle(bundle)
        assert loaded.manifest.schema_version == 1
        assert loaded.audits == ()
        assert canonical_bytes(loaded.manifest) == (bundle / MANIFEST_FILE).read_bytes()

    def test_the_second_schema_has_no_circumstances(self, bundle: Path) -> None:
        def to_second(content: dict[str, Any]) -> None:
            content["schema_version"] = 2
            del content["provenance"]["builds"]

        forge(bundle, to_second)
        loaded = load_bundle(bundle)
        assert loaded.manifest.provenance.builds == ()
        assert canonical_bytes(loaded.manifest) == (bundle / MANIFEST_FILE).read_bytes()

    def test_only_a_promise_for_an_interval_of_shares_needs_the_fourth_schema(
        self, make_tiny_bundle: Callable[..., Path]
    ) -> None:
        usual, shares = make_tiny_bundle(), make_tiny_bundle(prevalence=(0.1, 0.4))
        assert load_bundle(usual).manifest.schema_version == 3
        assert b"prevalence" not in (usual / MANIFEST_FILE).read_bytes()
        loaded = load_bundle(shares)
        assert loaded.manifest.schema_version == 4
        assert loaded.certificate is not None
        assert loaded.certificate.prevalence == (0.1, 0.4)
        assert [part.name for part in loaded.certificate.parts] == ["10 % red", "40 % red"]
        assert canonical_bytes(loaded.manifest) == (shares / MANIFEST_FILE).read_bytes()

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"prevalence": [0.4, 0.1]}, "within"),
            ({"prevalence": [0.1, 1.4]}, "within"),
            ({"prevalence": [0.1]}, "."),
            ({"prevalence": "0.1:0.4"}, "."),
            ({"prevalence_of": ["red", "blue"]}, "1 intervals of 2 classes"),
            ({"parts": []}, "counts at its ends"),
            ({"each": "answer"}, "over all answers"),
            ({"parts": [{"name": "10 % red", "n": 1100, "answered": 900, "errors": 2}]}, "2 ends"),
            ({"parts": [{"name": "10 % red", "n": 1100, "answered": 900, "errors": 30}] * 2}, "do not prove"),
            ({"parts": [{"name": "10 % red", "n": 100, "answered": 900, "errors": 2}] * 2}, "tested at"),
        ],
    )
    def test_an_interval_of_shares_that_its_counts_do_not_prove(
        self, make_tiny_bundle: Callable[..., Path], change: dict[str, Any], message: str
    ) -> None:
        folder = make_tiny_bundle(prevalence=(0.1, 0.4))
        forge(folder, lambda content: content["certificates"][0]["certificate"].update(change))
        with pytest.raises(BundleTampered, match=message):
            load_bundle(folder)

    def test_an_interval_of_shares_before_its_version(self, make_tiny_bundle: Callable[..., Path]) -> None:
        folder = make_tiny_bundle(prevalence=(0.1, 0.4))
        forge(folder, lambda content: content.update(schema_version=3))
        with pytest.raises(BundleTampered, match="came with schema version 4"):
            load_bundle(folder)

    def test_curves_are_those_of_the_engine(self, bundle: Path) -> None:
        forge(bundle, lambda content: content.update(audits={"onnxruntime-cpu/fp32": [CURVE, CURVE]}))
        loaded = load_bundle(bundle)
        assert [curve.weight(1.5) for curve in loaded.audits] == [1.0, 1.0]

    @pytest.mark.parametrize("schema", [0, -1, "1", 1.5, True, None, "x"])
    def test_an_invalid_schema(self, bundle: Path, schema: object) -> None:
        self.forged(bundle, lambda content: content.update(schema_version=schema), "schema_version")

    @pytest.mark.parametrize(
        ("name", "change"),
        [
            ("unknown field", lambda c: c.update(surprise=1)),
            ("unknown rule field",
             lambda c: c["certificates"][0]["operating_point"]["stages"][0].update(surprise=1)),
            ("unknown certificate field", lambda c: c["certificates"][0]["certificate"].update(surprise=1)),
            ("missing field", lambda c: c.pop("classes")),
            ("no stage", lambda c: c.update(stages=[])),
            ("stages swapped", lambda c: c["stages"].reverse()),
            ("one class", lambda c: c.update(classes=["only"])),
            ("equal classes", lambda c: c.update(classes=["red", "red"])),
            ("terminal codes in a class", lambda c: c.update(classes=["a\x1b[2J", "b"])),
            ("two certificates for one engine", lambda c: c["certificates"].append(c["certificates"][0])),
            ("a huge number", lambda c: c["stages"][0].update(macs=10**400)),
            ("a huge count", lambda c: c["stages"][0].update(parameters=10**30)),
            ("a negative size", lambda c: c["files"][MODEL_A].update(size=-1)),
            ("a huge side", lambda c: c["stages"][0]["preprocess"].update(height=10**9)),
            ("a spread of zero", lambda c: c["stages"][0]["preprocess"].update(std=[0, 1, 1])),
            ("a model that is no file", lambda c: c["stages"][0]["models"].update(fp32="stage_a/other.onnx")),
            ("no model at full precision", lambda c: c["stages"][0].update(models={})),
            ("a score without its gate",
             lambda c: c["certificates"][0]["operating_point"]["stages"][0].update(score="gate")),
            ("an unknown score",
             lambda c: c["certificates"][0]["operating_point"]["stages"][0].update(score="magic")),
            ("a point of one stage", lambda c: c["certificates"][0]["operating_point"]["stages"].pop()),
            ("a set threshold without end",
             lambda c: c["certificates"][0]["operating_point"]["stages"][1].update(set_threshold="inf")),
            ("a feasible certificate without a threshold",
             lambda c: c["certificates"][0]["certificate"].update(threshold=None)),
            ("a tolerance above one", lambda c: c.update(golden_tolerances={"onnxruntime-cpu/fp32": 7})),
            ("curves of an engine without a certificate",
             lambda c: c.update(audits={"openvino/fp32": [CURVE, CURVE]})),
            ("one curve for two stages", lambda c: c.update(audits={"onnxruntime-cpu/fp32": [CURVE]})),
            ("a curve that rises", lambda c: c.update(audits={"onnxruntime-cpu/fp32": [
                CURVE, {"confidences": [1.0, 2.0], "weights": [0.5, 0.9]}]})),
            ("a reference that is no file", lambda c: c.update(reference="reference.json")),
            ("curves before their version",
             lambda c: c.update(schema_version=1, audits={"onnxruntime-cpu/fp32": [CURVE, CURVE]})),
            ("circumstances before their version",
             lambda c: c.update(schema_version=2, provenance={"builds": [{"command": ["demur"]}]})),
            ("a golden file that is none", lambda c: c["golden"][0].update(file="golden/999.jpg")),
        ],
    )  # fmt: skip
    def test_contradictions(self, bundle: Path, name: str, change: Callable[[dict[str, Any]], None]) -> None:
        forge(bundle, change)
        with pytest.raises(BundleTampered) as caught:
            load_bundle(bundle)
        assert caught.value.file == MANIFEST_FILE

    @pytest.mark.parametrize(
        "text",
        [b"", b"{", b"[]", b"null", b"1", b"\xff\xfe", b"[" * 200_000, b'{"schema_version": 1}',
         b'{"schema_version": ' + b"9" * 5000 + b"}", b'{"a": 1e999}', b'{"a": NaN}', b'"\\ud800"',
         b'{"a": ' * 50_000, b" " * (9 * 2**20)],
        ids=lambda text: repr(text[:20]),
    )  # fmt: skip
    def test_texts_that_are_no_manifest(self, bundle: Path, text: bytes) -> None:
        (bundle / MANIFEST_FILE).write_bytes(text)
        with pytest.raises(BundleError) as caught:
            verify_bundle(bundle)
        assert caught.value.file == MANIFEST_FILE

    def test_a_key_that_comes_twice(self, bundle: Path) -> None:
        path = bundle / MANIFEST_FILE
        path.write_bytes(path.read_bytes().replace(b'"name": "tiny"', b'"name": "evil",\n "name": "tiny"'))
        with pytest.raises(BundleTampered, match="canonical"):
            verify_bundle(bundle)

    def test_a_model_with_external_data(self, bundle: Path, tmp_path: Path) -> None:
        onnx = pytest.importorskip("onnx")
        model = onnx.load_from_string((bundle / MODEL_A).read_bytes())
        (tmp_path / "secret").write_bytes(model.graph.initializer[0].raw_data)
        onnx.external_data_helper.set_external_data(model.graph.initializer[0], str(tmp_path / "secret"))
        model.graph.initializer[0].ClearField("raw_data")
        (bundle / MODEL_A).write_bytes(model.SerializeToString())
        forge(bundle)
        with pytest.raises(BundleTampered, match="external data"):
            load_bundle(bundle)
