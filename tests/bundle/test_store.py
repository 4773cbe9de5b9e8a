"""A bundle is, byte for byte, the one that was written, or it is refused and the file is named."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes.tiny_bundle import ENGINE, colour_image, colour_images, colour_model, tiny_draft, write_tiny_bundle
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bundle import writer
from bundle.draft import GoldenCandidate
from bundle.engines.contract import EngineKey, EngineUnavailable, ModelUnfit
from bundle.engines.onnx_scan import ModelRefused
from bundle.golden import GoldenMismatch
from bundle.images.errors import ImageError
from bundle.inspect import inspect_bundle
from bundle.loader import load_bundle
from bundle.manifest import MANIFEST_FILE, BundleError, BundleTampered, BundleTooNew, canonical_bytes
from bundle.verify import BundleMissing, verify_bundle
from bundle.writer import BundleExists, write_bundle

MODEL_A = "stage_a/model.onnx"


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path) -> Path:
    """A copy of its own, to be damaged."""
    return Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))


def files_of(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def forge(folder: Path, change: Callable[[dict[str, Any]], None] = lambda content: None) -> None:
    """Change the manifest as a skilled hand would: digests and version recomputed, spelling kept."""
    path = folder / MANIFEST_FILE
    content = json.loads(path.read_bytes())
    for file, record in content["files"].items():
        if (folder / file).is_file():
            data = (folder / file).read_bytes()
            record["sha256"], record["size"] = hashlib.sha256(data).hexdigest(), len(data)
    change(content)
    content.pop("version", None)
    content["version"] = hashlib.sha256(spelled(content)).hexdigest()[:16]
    path.write_bytes(spelled(content))


def spelled(content: dict[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, indent=1, ensure_ascii=False).encode() + b"\n"


class TestWhole:
    def test_what_was_written_is_read(self, bundle: Path) -> None:
        manifest = verify_bundle(bundle)
        assert manifest == load_bundle(bundle).manifest
        assert set(files_of(bundle)) == {*manifest.files, MANIFEST_FILE}
        assert {"README.md", "config.json", "preprocessor_config.json", MODEL_A} <= set(manifest.files)

    def test_the_manifest_has_one_spelling(self, bundle: Path) -> None:
        assert canonical_bytes(verify_bundle(bundle)) == (bundle / MANIFEST_FILE).read_bytes()

    def test_the_forger_of_these_tests_is_able(self, bundle: Path) -> None:
        before = (bundle / MANIFEST_FILE).read_bytes()
        forge(bundle)
        assert (bundle / MANIFEST_FILE).read_bytes() == before

    def test_equal_drafts_make_equal_bundles(self, tmp_path: Path) -> None:
        first, second = (write_bundle(tiny_draft(), tmp_path / name) for name in ("one", "two"))
        assert first == second
        other = write_bundle(tiny_draft(classes=3), tmp_path / "three")
        assert other.version != first.version

    @pytest.mark.parametrize(
        "options",
        [{"stages": 1}, {"classes": 3}, {"rule": "scrc"}, {"rule": "gate"}, {"precisions": ("fp32", "int8")}],
    )
    def test_variants(self, make_tiny_bundle: Callable[..., Path], options: dict[str, object]) -> None:
        loaded = load_bundle(make_tiny_bundle(**options))
        assert loaded.certified
        assert loaded.runner.decide([colour_image(1, 0.9)])[0].label == 1

    def test_a_link_above_the_bundle_is_fine(self, bundle: Path, tmp_path: Path) -> None:
        (tmp_path / "current").symlink_to(bundle)
        assert load_bundle(tmp_path / "current").manifest == verify_bundle(bundle)

    def test_the_operating_point_survives(self, bundle: Path) -> None:
        entry = tiny_draft().certificates[0]
        loaded = load_bundle(bundle)
        assert loaded.operating_point == entry.operating_point
        assert loaded.certificate == entry.certificate


class TestWithoutPromise:
    def test_an_infeasible_bundle_loads_and_abstains(self, make_tiny_bundle: Callable[..., Path]) -> None:
        loaded = load_bundle(make_tiny_bundle(feasible=False))
        assert not loaded.certified
        assert loaded.certificate is not None
        assert "149 more" in loaded.certificate.sentence()
        run = loaded.runner.run([candidate.data for candidate in colour_images()])
        assert {decision.decision for decision in run.decisions} == {"abstain"}
        assert {decision.reason for decision in run.decisions} == {"ambiguous"}

    def test_without_any_certificate_it_abstains(self, tmp_path: Path) -> None:
        write_bundle(replace(tiny_draft(), certificates=()), tmp_path / "bundle")
        loaded = load_bundle(tmp_path / "bundle")
        assert loaded.certificate is None
        assert loaded.runner.decide([colour_image(1, 1.0)])[0].decision == "abstain"

    def test_at_a_precision_that_no_certificate_names_it_abstains(
        self, make_tiny_bundle: Callable[..., Path]
    ) -> None:
        loaded = load_bundle(
            make_tiny_bundle(precisions=("fp32", "int8")), key=EngineKey.parse("onnxruntime-cpu/int8")
        )
        assert (loaded.key, loaded.certificate, loaded.certified) == ("onnxruntime-cpu/int8", None, False)
        assert loaded.runner.decide([colour_image(1, 1.0)])[0].decision == "abstain"

    def test_a_precision_without_a_model(self, bundle: Path) -> None:
        with pytest.raises(EngineUnavailable, match="no model at int8; it has fp32"):
            load_bundle(bundle, key=EngineKey.parse("onnxruntime-cpu/int8"))


class TestTampered:
    def test_every_region_of_every_file(self, bundle: Path) -> None:
        for file in files_of(bundle):
            path = bundle / file
            data = path.read_bytes()
            for position in {*np.linspace(0, len(data) - 1, 24).astype(int).tolist()}:
                damaged = bytearray(data)
                damaged[position] ^= 0x01
                path.write_bytes(damaged)
                with pytest.raises(BundleError) as caught:
                    verify_bundle(bundle)
                assert caught.value.file == file, position
            path.write_bytes(data)
        verify_bundle(bundle)

    @given(position=st.integers(0, 10**6), value=st.integers(0, 255))
    @settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_any_byte_of_the_manifest(
        self, tiny_bundle: Path, tmp_path: Path, position: int, value: int
    ) -> None:
        folder = tmp_path / "bundle"
        if not folder.exists():
            shutil.copytree(tiny_bundle, folder)
        data = bytearray((tiny_bundle / MANIFEST_FILE).read_bytes())
        position %= len(data)
        if data[position] == value:
            return
        data[position] = value
        (folder / MANIFEST_FILE).write_bytes(data)
        with pytest.raises(BundleError) as caught:
            verify_bundle(folder)
        assert caught.value.file == MANIFEST_FILE

    def test_every_file_cut_short_or_longer(self, bundle: Path) -> None:
        for file in files_of(bundle):
            path = bundle / file
            data = path.read_bytes()
            for other in (data[:-1], data + b"\n", b""):
                path.write_bytes(other)
                with pytest.raises(BundleTampered) as caught:
                    verify_bundle(bundle)
                assert caught.value.file == file
            path.write_bytes(data)

    def test_every_file_missing(self, bundle: Path) -> None:
        for file in files_of(bundle):
            data = (bundle / file).read_bytes()
            (bundle / file).unlink()
            expected = BundleMissing if file == MANIFEST_FILE else BundleTampered
            with pytest.raises(expected) as caught:
                verify_bundle(bundle)
            assert caught.value.file == file
            (bundle / file).write_bytes(data)

    @pytest.mark.parametrize("file", ["extra.txt", "stage_a/model.pkl", ".hidden", "bundle.json.bak"])
    def test_an_added_file(self, bundle: Path, file: str) -> None:
        (bundle / file).write_bytes(b"x")
        with pytest.raises(BundleTampered, match="was added") as caught:
            verify_bundle(bundle)
        assert caught.value.file == file

    def test_an_added_folder(self, bundle: Path) -> None:
        (bundle / "stage_a" / "empty").mkdir()
        with pytest.raises(BundleTampered, match="stage_a/empty"):
            verify_bundle(bundle)

    @pytest.mark.parametrize("file", [MODEL_A, "README.md", MANIFEST_FILE])
    def test_a_link_instead_of_a_file(self, bundle: Path, tmp_path: Path, file: str) -> None:
        (bundle / file).rename(tmp_path / "elsewhere")
        (bundle / file).symlink_to(tmp_path / "elsewhere")
        with pytest.raises(BundleTampered) as caught:
            verify_bundle(bundle)
        assert caught.value.file == file

    def test_a_link_instead_of_a_folder(self, bundle: Path, tmp_path: Path) -> None:
        (bundle / "stage_a").rename(tmp_path / "elsewhere")
        (bundle / "stage_a").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(BundleTampered) as caught:
            verify_bundle(bundle)
        assert caught.value.file == "stage_a"

    def test_a_pipe_or_a_socket_blocks_nobody(self, bundle: Path) -> None:
        (bundle / MODEL_A).unlink()
        os.mkfifo(bundle / MODEL_A)
        with pytest.raises(BundleTampered, match="plain files only"):
            verify_bundle(bundle)
        (bundle / MANIFEST_FILE).unlink()
        os.mkfifo(bundle / MANIFEST_FILE)
        with pytest.raises(BundleTampered, match="plain files only"):
            verify_bundle(bundle)

    def test_a_socket(self, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(bundle)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("s.md")
            with pytest.raises(BundleTampered, match="plain files only"):
                verify_bundle(bundle)

    def test_a_model_swapped_between_verifying_and_opening(
        self, bundle: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from bundle import loader

        def verify_then_swap(folder: Path) -> object:
            manifest = verify_bundle(folder)
            (folder / MODEL_A).write_bytes(colour_model(16, -5.0))
            return manifest

        monkeypatch.setattr(loader, "verify_bundle", verify_then_swap)
        with pytest.raises(BundleTampered) as caught:
            load_bundle(bundle)
        assert caught.value.file == MODEL_A

    @pytest.mark.parametrize("linked", [MODEL_A, "stage_a"])
    def test_a_link_put_there_between_verifying_and_opening(
        self, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, linked: str
    ) -> None:
        from bundle import loader

        def verify_then_link(folder: Path) -> object:
            manifest = verify_bundle(folder)
            (folder / linked).rename(tmp_path / "elsewhere")
            (folder / linked).symlink_to(tmp_path / "elsewhere")
            return manifest

        monkeypatch.setattr(loader, "verify_bundle", verify_then_link)
        with pytest.raises(BundleTampered, match="plain file"):
            load_bundle(bundle)

    @pytest.mark.parametrize("place", ["nowhere", "file"])
    def test_no_bundle_at_all(self, tmp_path: Path, place: str) -> None:
        (tmp_path / "file").write_text("x")
        with pytest.raises(BundleMissing, match="no bundle"):
            verify_bundle(tmp_path / place)


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

    @pytest.mark.parametrize("schema", [2, 99, 10**30])
    def test_a_newer_schema(self, bundle: Path, schema: int) -> None:
        forge(bundle, lambda content: content.update(schema_version=schema, whatever={"new": True}))
        with pytest.raises(BundleTooNew, match="install a newer one"):
            load_bundle(bundle)

    @pytest.mark.parametrize("schema", [0, -1, "1", 1.5, True, None, "x"])
    def test_no_schema_that_ever_was(self, bundle: Path, schema: object) -> None:
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


class TestWriting:
    def left_behind(self, folder: Path) -> list[str]:
        return [path.name for path in folder.iterdir()] if folder.exists() else []

    def test_a_full_disk_leaves_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        calls = iter(range(100))
        real = os.fsync

        def full(descriptor: int) -> None:
            if next(calls) == 5:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            real(descriptor)

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            write_tiny_bundle(tmp_path / "here" / "bundle")
        assert self.left_behind(tmp_path / "here") == []

    def test_a_failed_rename_brings_the_older_bundle_back(
        self, bundle: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = verify_bundle(bundle)
        real = Path.rename

        def fail(self: Path, target: Path) -> Path:
            if self.suffix == ".partial":
                raise OSError(errno.EIO, "no")
            return real(self, target)

        monkeypatch.setattr(Path, "rename", fail)
        with pytest.raises(OSError, match="no"):
            write_bundle(tiny_draft(classes=3), bundle, replace=True)
        assert verify_bundle(bundle) == before
        assert self.left_behind(bundle.parent) == ["bundle"]

    def test_everything_is_made_durable_before_it_appears(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        synced: list[str] = []
        real = os.fsync

        def note(descriptor: int) -> None:
            synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
            real(descriptor)

        monkeypatch.setattr(os, "fsync", note)
        folder = write_tiny_bundle(tmp_path / "bundle")
        scratch = next(path for path in synced if path.endswith(".partial"))
        for file in files_of(folder):
            assert f"{scratch}/{file}" in synced
        assert synced.index(scratch) < len(synced) - 1
        assert synced[-1] == str(tmp_path)

    def test_it_never_overwrites(self, bundle: Path, tmp_path: Path) -> None:
        with pytest.raises(BundleExists, match="bundles never change"):
            write_bundle(tiny_draft(), bundle)
        (tmp_path / "photos").mkdir()
        (tmp_path / "photos" / "holiday.jpg").write_bytes(b"x")
        with pytest.raises(BundleExists, match="is no bundle"):
            write_bundle(tiny_draft(), tmp_path / "photos", replace=True)
        assert (tmp_path / "photos" / "holiday.jpg").exists()

    def test_it_replaces_a_bundle_when_told_to(self, bundle: Path) -> None:
        manifest = write_bundle(tiny_draft(classes=3), bundle, replace=True)
        assert load_bundle(bundle).manifest == manifest
        assert self.left_behind(bundle.parent) == ["bundle"]

    def test_an_empty_folder_is_as_good_as_none(self, tmp_path: Path) -> None:
        (tmp_path / "bundle").mkdir()
        write_bundle(tiny_draft(), tmp_path / "bundle")
        assert load_bundle(tmp_path / "bundle").certified

    def test_others_may_read_it(self, tmp_path: Path) -> None:
        mask = os.umask(0o022)
        try:
            folder = write_tiny_bundle(tmp_path / "bundle")
        finally:
            os.umask(mask)
        assert folder.stat().st_mode & 0o777 == 0o755

    def test_further_files_come_along(self, tmp_path: Path) -> None:
        (tmp_path / "curve.png").write_bytes(b"picture")
        extra = {"metrics/curve.png": tmp_path / "curve.png", "adapter/weights.safetensors": b"w"}
        manifest = write_bundle(replace(tiny_draft(), extra=extra), tmp_path / "bundle")
        assert extra.keys() <= manifest.files.keys()
        assert (tmp_path / "bundle/metrics/curve.png").read_bytes() == b"picture"

    @pytest.mark.parametrize(
        ("path", "message"),
        [("../escape.md", "pattern"), ("/tmp/x.md", "pattern"), ("weights.pkl", "pattern"),
         ("README.md", "writes itself"), (MODEL_A, "writes itself"), (MANIFEST_FILE, "writes itself")],
    )  # fmt: skip
    def test_further_files_stay_where_they_belong(self, tmp_path: Path, path: str, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            write_bundle(replace(tiny_draft(), extra={path: b"x"}), tmp_path / "in" / "bundle")
        assert self.left_behind(tmp_path / "in") == []
        assert not (tmp_path / "in" / "escape.md").exists()

    def test_a_draft_of_other_classes(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="stage A has 2 classes; the draft names 3"):
            write_bundle(replace(tiny_draft(), classes=("a", "b", "c")), tmp_path / "bundle")

    def test_a_draft_without_golden_cases(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="golden_candidates is empty"):
            write_bundle(replace(tiny_draft(), golden_candidates=()), tmp_path / "bundle")

    def test_a_golden_candidate_that_is_no_image(self, tmp_path: Path) -> None:
        with pytest.raises(ImageError):
            write_bundle(replace(tiny_draft(), golden_candidates=[GoldenCandidate(b"x")]), tmp_path / "b")

    def test_models_that_no_bundle_may_hold(self, tmp_path: Path) -> None:
        stage = tiny_draft(stages=1).stages[0]
        for model, error in ((b"junk", ModelRefused), (colour_model(99, 1.0), ModelUnfit)):
            draft = replace(tiny_draft(stages=1), stages=(replace(stage, models={"fp32": model}),))
            with pytest.raises(error):
                write_bundle(draft, tmp_path / "in" / "bundle")
        assert self.left_behind(tmp_path / "in") == []

    def test_a_figure_that_json_cannot_hold(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="finite"):
            write_bundle(replace(tiny_draft(), evaluation={"mcc": float("nan")}), tmp_path / "bundle")

    def test_a_certificate_that_json_cannot_hold(self, tmp_path: Path) -> None:
        draft = tiny_draft()
        broken = replace(draft.certificates[0].certificate, coverage=float("nan"))
        entry = draft.certificates[0].model_copy(update={"certificate": broken})
        with pytest.raises(ValueError, match="JSON"):
            write_bundle(replace(draft, certificates=(entry,)), tmp_path / "bundle")

    def test_two_writers_at_once_leave_one_whole_bundle(self, tmp_path: Path) -> None:
        from concurrent.futures import ThreadPoolExecutor

        def write(number: int) -> str:
            try:
                return write_bundle(tiny_draft(name=f"n{number}"), tmp_path / "bundle", replace=True).version
            except (OSError, BundleExists):
                return ""

        with ThreadPoolExecutor(4) as pool:
            versions = list(pool.map(write, range(8)))
        assert load_bundle(tmp_path / "bundle").manifest.version in versions

    def test_the_engine_of_a_certificate_must_be_here(self, tmp_path: Path) -> None:
        with pytest.raises(EngineUnavailable):
            write_bundle(tiny_draft(engine="onnxruntime-cuda"), tmp_path / "bundle")
        assert ENGINE == writer.DEFAULT_ENGINE


class TestCards:
    def test_the_card_states_the_promise_and_the_classes(self, bundle: Path) -> None:
        card = (bundle / "README.md").read_text()
        assert tiny_draft().certificates[0].certificate.sentence() in card
        assert "- 0: blue\n- 1: red" in card
        assert "demur predict --bundle" in card

    def test_hugging_face_files(self, bundle: Path) -> None:
        config = json.loads((bundle / "config.json").read_bytes())
        assert config["id2label"] == {"0": "blue", "1": "red"}
        processor = json.loads((bundle / "preprocessor_config.json").read_bytes())
        assert processor["size"] == {"height": 32, "width": 32}
        assert processor["image_mean"] == [0.5, 0.5, 0.5]

    def test_inspect_states_what_programs_look_for(self, bundle: Path) -> None:
        shown = json.loads(json.dumps(inspect_bundle(bundle), allow_nan=False))
        assert shown["stage_a_share"] == 0.6
        certificate = tiny_draft().certificates[0].certificate.to_dict()
        assert {name: shown["certificate"][name] for name in certificate} == json.loads(
            json.dumps(certificate)
        )
