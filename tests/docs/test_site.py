"""The site of the documentation: complete, without a dead link, and at home without a network."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import typer

import calibration
from demur.cli import app
from monitoring.metrics import names
from service.settings import Settings
from trainer.config import TrainConfig

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "pages"
    subprocess.run([sys.executable, ROOT / "docs" / "assemble.py", folder], check=True, timeout=120)
    return folder


def test_every_verb_has_its_help(pages: Path) -> None:
    text = (pages / "reference" / "commands.md").read_text()
    commands = typer.main.get_command(app).commands
    assert commands
    for name, command in commands.items():
        assert f"\n## demur {name}" in text
        for option in (option for option in command.params if option.param_type_name == "option"):
            assert option.opts[0] in text, (name, option.opts)


def test_every_field_of_a_configuration_is_there(pages: Path) -> None:
    text = (pages / "reference" / "configuration.md").read_text()
    for name in (*TrainConfig.model_fields, "alpha", "label_map", "val_calib", "threads", "weight_decay"):
        assert f"\n| `{name}` |" in text
    assert "Planned minutes of training" in text
    assert all(
        f"DEMUR_{name.upper()}" in (pages / "settings.md").read_text() for name in Settings.model_fields
    )


def test_every_route_is_there(pages: Path) -> None:
    text = (pages / "reference" / "routes.md").read_text()
    for route in ("POST /predict", "POST /feedback", "GET /rolling", "GET /health", "GET /v2"):
        assert f"\n## {route}\n" in text
    assert "X-Request-Id" in text
    assert '"decision": "abstain"' in text


def test_every_metric_is_there(pages: Path) -> None:
    text = (pages / "reference" / "metrics.md").read_text()
    for name, metric in names.by_name().items():
        assert f"| `{name}` | {type(metric).__name__.lower()}, {metric.unit} |" in text


def test_every_public_name_of_python_is_there(pages: Path) -> None:
    text = (pages / "reference" / "calibration.md").read_text()
    assert {name for name in calibration.__all__ if not re.search(rf"^::: .*\.{name}$", text, re.M)} == set()
    assert "::: demur.client.client.Client" in (pages / "reference" / "client.md").read_text()


def test_a_pipe_in_code_has_no_backslash_on_the_site(pages: Path) -> None:
    assert "--checkpoint-selection augrc|loss|mcc" in (pages / "training.md").read_text()
    assert "`--device <auto|cpu|cuda>`" in (pages / "reference" / "commands.md").read_text()


def test_every_decision_is_listed(pages: Path) -> None:
    text = (pages / "adr" / "index.md").read_text()
    for path in (ROOT / "docs" / "adr").glob("0*.md"):
        assert f"]({path.name})" in text


def test_links_hold_on_the_site_and_in_the_repository(pages: Path) -> None:
    start = (pages / "index.md").read_text()
    assert "](promise.md)" in start
    assert "](images/page.png)" in start
    assert "](contributing.md)" in start
    assert "](adr/index.md)" in start
    assert "](../index.md#find-your-way)" not in (pages / "contributing.md").read_text()
    assert "](README.md)" in (pages / "measurements" / "benchmarks.md").read_text()


def test_a_link_in_a_block_of_code_stays(pages: Path) -> None:
    spec = importlib.util.spec_from_file_location("links", ROOT / "docs" / "pages" / "links.py")
    assert spec is not None
    assert spec.loader is not None
    links = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(links)
    text = "[a](docs/data.md#groups)\n```\n[b](docs/data.md)\n```\n[c](https://x.org) [d](#e)"
    expected = "[a](../data.md#groups)\n```\n[b](docs/data.md)\n```\n[c](https://x.org) [d](#e)"
    assert links.relinked(text, Path("README.md"), "sub/index.md") == expected


class _Loaded(HTMLParser):
    """Addresses that a page loads by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag in ("script", "img", "iframe", "source"):
            self.found.append(values.get("src") or "")
        elif tag == "link" and values.get("rel") != "canonical":
            self.found.append(values.get("href") or "")


@pytest.fixture(scope="module")
def site(pages: Path) -> Path:
    """The built site; a warning ends the build."""
    pytest.importorskip("mkdocs", reason="`make docs` installs the extra docs")
    (pages.parent / "mkdocs.yml").write_text(
        f"INHERIT: {ROOT / 'mkdocs.yml'}\ndocs_dir: {pages}\nsite_dir: {pages.parent / 'site'}\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", pages.parent / "mkdocs.yml"],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return pages.parent / "site"


def test_the_site_is_built_without_a_warning(site: Path) -> None:
    assert (site / "index.html").is_file()
    assert "fixed_sequence.certify" in (site / "reference" / "calibration.html").read_text()


def test_a_page_loads_nothing_from_another_host(site: Path) -> None:
    for path in site.rglob("*.html"):
        loaded = _Loaded()
        loaded.feed(path.read_text())
        assert [address for address in loaded.found if re.match(r"(https?:)?//", address)] == [], path


def test_addresses_of_other_hosts_are_listed(site: Path) -> None:
    """They are not fetched: the site is built without a network too."""
    listed = (site / "external-links.txt").read_text().splitlines()
    assert listed == sorted(listed)
    assert all(re.match(r"https?://\S+  \S+\.md", line) for line in listed)
