"""A missing optional module is one sentence with the line that installs it, in every verb."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from fakes.command_line import Demur
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from bundle import extras
from bundle.extras import ENGINE, ENGINE_EXTRAS, EXTRA_OF, missing_extra, pip_line, require_modules
from demur import cli
from demur.needs import NEEDS

ROOT = Path(__file__).resolve().parents[2]
VERBS = {verb.__name__ for verbs in cli.PANELS.values() for verb in verbs}
LINE = r"install demur with the extra \[\w+\](, \[\w+\])*( or \[\w+\])?: pip install (-e )?'?\S+\[\w+\]'?"

PROGRAM = """
import sys
from importlib.machinery import PathFinder
HIDDEN = {hidden!r}
class Without:
    @staticmethod
    def find_spec(name, path=None, target=None):
        return None if name.partition(".")[0] in HIDDEN else PathFinder.find_spec(name, path, target)
    find_distributions = PathFinder.find_distributions  # libraries ask for versions of what is not hidden
sys.meta_path[sys.meta_path.index(PathFinder)] = Without
from demur import cli
cli.main()
"""


def requirements_of(extra: str) -> set[str]:
    """Distributions of an extra, those of further extras of demur included."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found: set[str] = set()
    for one in map(Requirement, project["optional-dependencies"][extra]):
        inner = set().union(*map(requirements_of, one.extras)) if one.name == "demur" else {one.name}
        found |= set(map(canonicalize_name, inner))
    return found


COMES_WITH = {"huggingface_hub": "transformers"}
"""A module that a requirement of an extra brings"""


@pytest.mark.parametrize("module", EXTRA_OF)
def test_a_module_belongs_to_an_extra_that_brings_it(module: str) -> None:
    owners = set(map(canonicalize_name, packages_distributions()[COMES_WITH.get(module, module)]))
    assert owners & requirements_of(EXTRA_OF[module])


def test_every_needed_module_has_an_extra() -> None:
    assert set(NEEDS) <= VERBS
    assert {module for modules in NEEDS.values() for module in modules} - {ENGINE} <= set(EXTRA_OF)


@pytest.fixture(scope="module")
def arguments(
    photos: Path, onnx_model: Path, tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[str]]:
    """Arguments with which every verb does its work at once, or stops at data that is not there."""
    from typer.testing import CliRunner

    folder = tmp_path_factory.mktemp("needs")
    run, gone, scores = folder / "run", f"folder:{folder / 'gone'}", folder / "scores.csv"
    scores.write_text("label,score\n1,0.9\n")
    wrap = [f"--model={onnx_model}", f"--data=folder:{photos}", "--class-names=calm,busy"]
    CliRunner().invoke(cli.app, ["wrap", *wrap, f"--out={run}"], catch_exceptions=False)
    arguments = {
        "data": [f"folder:{photos}"],
        "train": [f"--data={gone}", f"--out={folder / 'train'}"],
        "compare": [f"--data={gone}", f"--out={folder / 'compare'}", f"--backbone={gone}"],
        "pretrain": [f"--data={gone}", f"--out={folder / 'pretrain'}", f"--backbone={gone}"],
        "demo": [f"--out={tiny_bundle / 'bundle.json'}", "--no-serve"],
        "sweep": [str(run)],
        "gate": [str(run)],
        "calibrate": [f"--scores={scores}", "--label-column=gone"],
        "evaluate": [str(run)],
        "wrap": [*wrap, f"--out={folder / 'again'}"],
        "bundle": [str(run)],
        "inspect": [str(tiny_bundle)],
        "sign": [str(tiny_bundle), f"--key={folder / 'gone.pem'}"],
        "verify": [str(tiny_bundle)],
        "predict": [f"--bundle={tiny_bundle}", f"--data=folder:{photos}", f"--out={folder / 'd.csv'}"],
        "serve": [f"--bundle={folder / 'gone'}"],
        "profile": [f"--bundle={folder / 'gone'}", f"--out={folder / 'profile'}"],
        "logs": [str(folder / "gone.jsonl")],
        "health": ["http://127.0.0.1:1", "--timeout=5"],
        "doctor": [],
        "init": ["--serve", str(folder / "serve.env")],
        "promote": [str(tiny_bundle), f"--registry={folder / 'registry'}", f"--plan={folder / 'gone.yaml'}"],
        "rollback": [f"--registry={folder / 'gone'}"],
        "fleet": [f"--registry={folder / 'gone'}"],
    }
    assert set(arguments) == VERBS
    return arguments


@pytest.mark.parametrize(
    ("verb", "module"), [(verb, module) for verb in NEEDS for module in NEEDS[verb]], ids=str
)
def test_a_missing_module_is_named_before_any_work(
    verb: str,
    module: str,
    arguments: dict[str, list[str]],
    demur: Demur,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hidden = ENGINE_EXTRAS if module == ENGINE else (module,)
    there = extras._found
    monkeypatch.setattr(extras, "_found", lambda name: name not in hidden and there(name))
    ended = demur(verb, *arguments[verb])
    assert (ended.code, ended.out) == (2, "")
    assert re.fullmatch(rf"demur: demur {verb} needs {module}; {LINE}\n", ended.err)


def test_a_demo_that_serves_needs_the_service(
    demur: Demur, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = extras._found
    monkeypatch.setattr(extras, "_found", lambda name: name != "fastapi" and there(name))
    ended = demur("demo", "--out", tmp_path / "demo")
    assert ended.err.startswith("demur: demur demo needs fastapi; install demur with the extra [serve]: ")
    assert not (tmp_path / "demo").exists()


def test_a_run_needs_an_engine_before_delta_is_charged(
    demur: Demur, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "_found", lambda name: name not in ENGINE_EXTRAS)
    ended = demur("calibrate", tmp_path)
    assert ended.err.startswith(f"demur: demur calibrate RUN needs {ENGINE}; ")


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_a_verb_needs_no_other_module(verb: str, arguments: dict[str, list[str]], tmp_path: Path) -> None:
    needed = NEEDS.get(verb, ())
    hidden = set(EXTRA_OF) - set(needed) - set(ENGINE_EXTRAS if ENGINE in needed else ())
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(hidden=hidden), verb, *arguments[verb]],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode in (0, 1, 2), done.stderr
    assert "Traceback" not in done.stderr
    if verb != "doctor":
        assert "install demur with the extra" not in done.stdout + done.stderr


def test_a_module_that_no_extra_brings_is_a_bug() -> None:
    assert missing_extra(ModuleNotFoundError("no module named x", name="x")) is None
    assert missing_extra(ImportError("cannot import name", name="torch")) is None
    found = missing_extra(ModuleNotFoundError("no module", name="torch.nn"))
    assert found is not None
    assert re.fullmatch(rf"this needs torch; {LINE}", str(found))


def test_a_needed_module_is_looked_for_and_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "onnxscript", raising=False)
    require_modules("train", ("onnxscript", ENGINE))
    assert "onnxscript" not in sys.modules


@pytest.mark.parametrize(
    ("recorded", "line"),
    [
        (None, "pip install 'demur[train]'"),
        ({"url": "https://example.org/demur.whl"}, "pip install 'demur[train]'"),
        ({"url": "file:///srv/my%20demur", "dir_info": {}}, "pip install '/srv/my demur[train]'"),
        ({"url": "file:///srv/d", "dir_info": {"editable": True}}, "pip install -e '/srv/d[train]'"),
    ],
)
def test_the_line_that_installs_starts_from_where_demur_came_from(
    recorded: object, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bundle.extras._origin", lambda: recorded or {})
    assert pip_line("train") == line
