"""The question which images belong together stays with a bundle until it is answered."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.channel_models import RED, channel_images, channel_model
from typer.testing import CliRunner

from bundle.verify import verify_bundle
from demur.cli import app
from trainer.run.folder import RunFolder, read_json


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """600 photographs of 120 owners, which a list beside them names."""
    images = channel_images(600)
    (tmp_path / "photos").mkdir()
    rows = ["file_name,label,owner"]
    for row in range(len(images)):
        (tmp_path / "photos" / f"{row}.png").write_bytes(images.read(row))
        rows.append(f"{row}.png,{images.labels[row]},owner {row // 5}")
    (tmp_path / "photos" / "metadata.csv").write_text("\n".join(rows))
    channel_model(tmp_path / "red.onnx", RED)
    return tmp_path


def wrap(photos: Path, out: str, *options: str) -> Path:
    arguments = ["--normalisation=zero-one", "--alpha=0.05", f"--data={photos / 'photos'}"]
    arguments += [f"--model={photos / 'red.onnx'}", f"--out={photos / out}"]
    result = CliRunner().invoke(app, ["wrap", *arguments, *options], env={"COLUMNS": "3000"})
    assert result.exit_code == 0, result.output
    return photos / out


DOUBT = "nobody has said whether images of one owner (120 values, 5 images each) belong together"


def test_it_stays_until_answered(photos: Path) -> None:
    run = wrap(photos, "asked")
    manifest = verify_bundle(run / "bundle")
    certificate = manifest.certificates[0].certificate
    assert certificate.feasible
    assert DOUBT in certificate.sentence()
    assert any("use --group owner" in notice for notice in manifest.provenance.notices)
    card = (run / "bundle" / "README.md").read_text()
    assert card.count(DOUBT) == 2, "in the promise and where the population is said"
    shown = CliRunner().invoke(app, ["inspect", str(run / "bundle")], env={"COLUMNS": "3000"}).output
    assert DOUBT in shown
    assert "use --group owner" in shown

    again = CliRunner().invoke(app, ["calibrate", str(run)], env={"COLUMNS": "3000"})
    assert DOUBT in again.output, "a certificate made again still asks"

    other = CliRunner().invoke(app, ["calibrate", str(run), "--group", "owner"])
    assert other.exit_code != 0
    assert "train or wrap again with --group owner" in str(other.exception)

    ledger = read_json(RunFolder(run).ledger)
    answered = CliRunner().invoke(app, ["calibrate", str(run), "--group", "none"], env={"COLUMNS": "3000"})
    assert answered.exit_code == 0, answered.output
    manifest = verify_bundle(run / "bundle")
    assert manifest.certificates[0].certificate.doubt is None
    assert manifest.certificates[0].certificate.threshold == certificate.threshold
    assert not any("use --group owner" in notice for notice in manifest.provenance.notices)
    assert any("--group none says" in notice for notice in manifest.provenance.notices)
    assert manifest.provenance.config["data"]["group"] == "none"  # type: ignore[index, call-overload]
    assert read_json(RunFolder(run).ledger) == ledger, "an answer is no new certificate"


def test_an_answer_at_the_start_is_recorded(photos: Path) -> None:
    manifest = verify_bundle(wrap(photos, "alone", "--group", "none") / "bundle")
    assert manifest.certificates[0].certificate.doubt is None
    assert any("--group none says" in notice for notice in manifest.provenance.notices)
    assert manifest.provenance.config["data"]["group"] == "none"  # type: ignore[index, call-overload]


def test_a_named_group_is_no_question(photos: Path) -> None:
    manifest = verify_bundle(wrap(photos, "grouped", "--group", "owner") / "bundle")
    assert manifest.certificates[0].certificate.doubt is None
    assert manifest.certificates[0].certificate.population == "random group, random frame"
