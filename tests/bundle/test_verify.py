"""Verification: a changed, missing, added or linked file is found and named."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes.forged_bundle import forge
from fakes.tiny_bundle import colour_image, colour_model, files_of, tiny_draft
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bundle.loader import load_bundle
from bundle.manifest import MANIFEST_FILE, BundleError, BundleTampered, canonical_bytes
from bundle.verify import BundleMissing, BundleUnexpected, verify_bundle, verify_signed
from bundle.writer import write_bundle

MODEL_A = "stage_a/model.onnx"


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

    def test_the_expected_version(self, bundle: Path) -> None:
        version = verify_bundle(bundle).version
        assert verify_bundle(bundle, expected=version).version == version
        with pytest.raises(BundleUnexpected, match=f"is version {version} of tiny; version 0123"):
            verify_bundle(bundle, expected="0123456789abcdef")

    def test_a_link_above_the_bundle_is_fine(self, bundle: Path, tmp_path: Path) -> None:
        (tmp_path / "current").symlink_to(bundle)
        assert load_bundle(tmp_path / "current").manifest == verify_bundle(bundle)

    def test_the_operating_point_survives(self, bundle: Path) -> None:
        entry = tiny_draft().certificates[0]
        loaded = load_bundle(bundle)
        assert loaded.operating_point == entry.operating_point
        assert loaded.certificate == entry.certificate


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

    def test_a_pipe_does_not_block(self, bundle: Path) -> None:
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

        def verify_then_swap(folder: Path, **options: Any) -> object:
            manifest = verify_signed(folder, **options)
            (folder / MODEL_A).write_bytes(colour_model(16, -5.0))
            return manifest

        monkeypatch.setattr(loader, "verify_signed", verify_then_swap)
        with pytest.raises(BundleTampered) as caught:
            load_bundle(bundle)
        assert caught.value.file == MODEL_A

    @pytest.mark.parametrize("linked", [MODEL_A, "stage_a"])
    def test_a_link_put_there_between_verifying_and_opening(
        self, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, linked: str
    ) -> None:
        from bundle import loader

        def verify_then_link(folder: Path, **options: Any) -> object:
            manifest = verify_signed(folder, **options)
            (folder / linked).rename(tmp_path / "elsewhere")
            (folder / linked).symlink_to(tmp_path / "elsewhere")
            return manifest

        monkeypatch.setattr(loader, "verify_signed", verify_then_link)
        with pytest.raises(BundleTampered, match="plain file"):
            load_bundle(bundle)

    @pytest.mark.parametrize("place", ["nowhere", "file"])
    def test_no_bundle_at_all(self, tmp_path: Path, place: str) -> None:
        (tmp_path / "file").write_text("x")
        with pytest.raises(BundleMissing, match="no bundle"):
            verify_bundle(tmp_path / place)
