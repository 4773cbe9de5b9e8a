"""Writing: a bundle appears complete or not at all, and never in place of anything else."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest
from fakes.tiny_bundle import ENGINE, colour_model, files_of, tiny_draft, write_tiny_bundle

from bundle import writer
from bundle.draft import GoldenCandidate
from bundle.engines.contract import EngineUnavailable, ModelUnfit
from bundle.engines.onnx_scan import ModelRefused
from bundle.images.errors import ImageError
from bundle.loader import load_bundle
from bundle.manifest import MANIFEST_FILE
from bundle.verify import verify_bundle
from bundle.writer import BundleExists, write_bundle

MODEL_A = "stage_a/model.onnx"


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
        with pytest.raises(OSError, match=r"No space.*'/.*\.[a-z]+'"):
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

    def test_it_replaces_a_bundle_on_request(self, bundle: Path) -> None:
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
        draft = tiny_draft(feasible=False)
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
