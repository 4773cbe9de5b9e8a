"""The bill of materials of an image: every package of Python and of Debian, and the same bytes again."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from deploy.image.sbom import bill_of_materials

STATUS = """\
Package: libc6
Status: install ok installed
Architecture: amd64
Version: 2.36-9+deb12u14
Description: C library
 It goes on, Version: 3.

Package: gone
Status: deinstall ok config-files
Architecture: all
Version: 1:2.0~rc1

Package: tzdata
Status: hold ok installed
Architecture: all
Version: 1:2.0~rc1
"""


def test_packages_of_python_have_their_versions_and_licences() -> None:
    bill = bill_of_materials("")
    found = {component["name"]: component for component in bill["components"]}
    assert found["numpy"]["version"] == version("numpy")
    assert found["numpy"]["purl"] == f"pkg:pypi/numpy@{version('numpy')}"
    assert found["prometheus-client"]["type"] == "library"
    assert "BSD-3-Clause" in found["numpy"]["licenses"][0]["expression"]
    assert "demur" not in found
    assert bill["metadata"]["component"]["version"] == version("demur")


def test_packages_of_debian_that_are_installed() -> None:
    found = [component["purl"] for component in bill_of_materials(STATUS)["components"]]
    assert [purl for purl in found if purl.startswith("pkg:deb/")] == [
        "pkg:deb/debian/libc6@2.36-9%2Bdeb12u14?arch=amd64",
        "pkg:deb/debian/tzdata@1%3A2.0~rc1?arch=all",
    ]


def test_references_are_unique() -> None:
    bill = bill_of_materials(STATUS)
    references = [component["bom-ref"] for component in bill["components"]]
    assert len(references) == len(set(references))
    assert references == sorted(references)
    assert (bill["bomFormat"], bill["specVersion"], bill["version"]) == ("CycloneDX", "1.6", 1)


def test_the_same_image_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("first.json", "second.json"):
        subprocess.run([sys.executable, "-m", "deploy.image.sbom", tmp_path / name], check=True)
    assert (tmp_path / "first.json").read_bytes() == (tmp_path / "second.json").read_bytes()
    assert json.loads((tmp_path / "first.json").read_text())["components"]


def test_a_call_without_a_file_says_how_it_is_called() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "deploy.image.sbom"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (1, "usage: python -m deploy.image.sbom FILE\n")
