"""Documents and messages name only what exists: paths, links, modules, verbs, options, variables, metrics."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import get_args

import click
import pytest
import typer

from calibration.decision import Reason
from demur.cli import app
from service.problems import KINDS
from service.settings import PREFIX, Settings

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("demur", "calibration", "bundle", "monitoring", "trainer", "service", "deploy")
FOLDERS = (*PACKAGES, "docs", "tests", "benchmarks")
DOCUMENTS = (
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    ROOT / "benchmarks" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
)
NOT_YET = "does not exist yet"
"""A line with these words names a verb or an option that must be absent."""
RUN_FILES = ("bundle/", "bundle.json")
"""Names of a run's or a bundle's files that begin like one of our packages."""
IMAGES = re.compile(r"demur/(service|service-gpu|trainer|bundle)([:@].*)?")
"""Names of container images"""

_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)
_FILE_ENDINGS = ("py", "md", "json", "yaml", "csv", "png", "txt", "onnx", "html", "ini", "toml", "jsonl")


@dataclass(frozen=True)
class Code:
    """A command line or an inline code span of a document."""

    document: Path
    text: str
    around: str
    """The line that it stands in."""

    def __str__(self) -> str:
        return f"{self.document.relative_to(ROOT)}: {self.text}"


def code_of(document: Path) -> Iterator[Code]:
    """Inline spans, and the lines of code blocks; a line that ends with a backslash goes on."""
    text = document.read_text(encoding="utf-8")
    for block in _FENCE.findall(text):
        for line in block.replace("\\\n", " ").splitlines()[1:-1]:
            yield Code(document, line, line)
    for line in _FENCE.sub("", text).splitlines():
        for span in _SPAN.findall(line):
            yield Code(document, span.replace("\\|", "|"), line)


ALL_CODE = [code for document in DOCUMENTS for code in code_of(document)]


def tokens_of(text: str) -> list[str]:
    return [token.strip("'\"()[]{};:.,") for token in re.split(r"[\s,=]+", text)]


# --- paths -------------------------------------------------------------------------------------------------


def missing_path(token: str) -> bool:
    """Whether the token is spelled as a path of this repository and nothing is there."""
    if (
        token in RUN_FILES
        or IMAGES.fullmatch(token)
        or "://" in token
        or any(letter.isupper() for letter in token.split("/")[0])
    ):
        return False
    first, slash, _ = token.partition("/")
    if slash and first in FOLDERS:
        path = token.split("::")[0].rstrip("/")
        return not any(ROOT.glob(path)) if "*" in path else not (ROOT / path).exists()
    if not slash and re.fullmatch(r"\w+\.py", token):
        return token not in python_files()
    return False


@cache
def python_files() -> frozenset[str]:
    return frozenset(path.name for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))


def test_every_path_exists() -> None:
    missing = [
        f"{code} ({token})" for code in ALL_CODE for token in tokens_of(code.text) if missing_path(token)
    ]
    assert not missing


def test_every_module_exists() -> None:
    missing = []
    for code in ALL_CODE:
        for token in tokens_of(code.text):
            dotted = re.fullmatch(rf"(({'|'.join(PACKAGES)})(?:\.\w+)+)(?::(\w+))?(?:\(\))?", token)
            if dotted is None or token.rpartition(".")[2] in _FILE_ENDINGS:
                continue
            if not resolves(dotted[1], dotted[3]):
                missing.append(f"{code} ({token})")
    assert not missing


def resolves(dotted: str, attribute: str | None) -> bool:
    """Whether the dotted name is a module, or an attribute of one."""
    try:
        module = importlib.import_module(dotted)
    except ModuleNotFoundError:
        parent, _, name = dotted.rpartition(".")
        return bool(parent) and attribute is None and resolves(parent, name)
    return attribute is None or hasattr(module, attribute)


def test_the_map_names_every_package_and_room() -> None:
    """README's table of packages: in the order of the floors, with the folders that are there."""
    rows = re.findall(r"^\| `(\w+)/` \|[^|]*\|(.*)\|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert {package for package, _ in rows} == set(PACKAGES)
    for package, rooms in rows:
        folders = (ROOT / package).glob("[a-z]*/")
        there = {folder.name for folder in folders if folder.is_dir() and any(folder.iterdir())}
        assert set(re.findall(r"`(\w+)/`", rooms)) == there, package


# --- links -------------------------------------------------------------------------------------------------


def slug(heading: str) -> str:
    """The anchor of a heading, as GitHub makes it."""
    kept = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return kept.replace(" ", "-")


def anchors_of(document: Path) -> set[str]:
    return {slug(heading) for heading in _HEADING.findall(_FENCE.sub("", document.read_text()))}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_resolves(document: Path) -> None:
    broken = []
    for target in _LINK.findall(_FENCE.sub("", document.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        linked = (document.parent / name).resolve() if name else document
        if not linked.exists() or (anchor and anchor not in anchors_of(linked)):
            broken.append(target)
    assert not broken


def test_every_page_has_its_place_on_the_site() -> None:
    """The order of the pages in mkdocs.yml; decisions are listed by a page of their own."""
    places = set(re.findall(r": ([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE))
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    listed_apart = {page for page in pages if page.startswith(("adr/", "measurements/remarks/"))}
    assert pages - listed_apart - places == set()


# --- verbs and options -------------------------------------------------------------------------------------


@cache
def verbs() -> dict[str, frozenset[str]]:
    """Each verb, a group's verbs as "group verb", and the options that it takes."""
    found: dict[str, frozenset[str]] = {}

    def add(command: click.Command, name: str) -> None:
        options = {text for option in command.params for text in (*option.opts, *option.secondary_opts)}
        found[name] = frozenset(options | {"--help"})
        for child, below in getattr(command, "commands", {}).items():
            add(below, f"{name} {child}".strip())

    add(typer.main.get_command(app), "")
    return found


def commands_in(text: str) -> Iterator[list[str]]:
    """The words of each command of a line, without comments and without what stands before the program."""
    for part in re.split(r"\|\||&&|[|;]", re.sub(r"(^|\s)#.*", "", text)):
        try:
            words = shlex.split(part)
        except ValueError:
            words = part.split()
        while words and (re.match(r"[A-Z_]+=", words[0]) or words[0] in ("$", "exec")):
            words.pop(0)
        if words:
            yield words


def faults_of(code: Code) -> Iterator[str]:
    """What a line of code names that the command line and the scripts do not have."""
    for words in commands_in(code.text):
        given = [word.split("=")[0] for word in words if re.match(r"--[a-z]", word)]
        if words[0] == "demur" and len(words) > 1 and re.fullmatch(r"[a-z][a-z-]*", words[1]):
            pair = " ".join(words[1:3])
            verb = pair if pair in verbs() else words[1]
            if verb not in verbs():
                yield f"demur {verb}"
                continue
            yield from (f"demur {verb} {option}" for option in given if option not in verbs()[verb])
        elif words[0] == "python" and len(words) > 1 and words[1].startswith("benchmarks/"):
            yield from (f"{words[1]} {option}" for option in given if option not in script_options(words[1]))
        elif f"benchmarks/{words[0]}" in scripts():
            script = f"benchmarks/{words[0]}"
            yield from (f"{script} {option}" for option in given if option not in script_options(script))
        elif words[0] == "make":
            yield from (f"make {target}" for target in words[1:] if not is_known_to_make(target))
        elif words[0].startswith("--"):
            known = set().union(*verbs().values(), *map(script_options, scripts()))
            yield from (option for option in given if option not in known)


@cache
def script_options(script: str) -> frozenset[str]:
    path = ROOT / script
    text = path.read_text() if path.is_file() else ""
    shared = {"--record"} if "add_record_option" in text else set()
    return frozenset(re.findall(r'"(--[a-z-]+)"', text)) | shared | {"--help"}


@cache
def scripts() -> tuple[str, ...]:
    return tuple(f"benchmarks/{path.name}" for path in (ROOT / "benchmarks").glob("*.py"))


@cache
def make_targets() -> frozenset[str]:
    return frozenset(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def is_known_to_make(word: str) -> bool:
    """Whether a word is a target of the Makefile, or sets a variable that it reads."""
    name, equals, _ = word.partition("=")
    return f"$({name})" in (ROOT / "Makefile").read_text() if equals else word in make_targets()


def test_every_verb_option_and_target_exists() -> None:
    unknown = [
        f"{code} ({fault})" for code in ALL_CODE if NOT_YET not in code.around for fault in faults_of(code)
    ]
    assert not unknown


OTHER_PROGRAMS = {
    *("--query-gpu", "--format"),  # nvidia-smi
    "--build-arg",  # docker, podman and buildah
    *("--data-binary", "--force-reinstall", "--factory", "--spider"),  # curl, pip, uvicorn, wget
    *("--unixsocket", "--unixsocketperm", "--dir", "--logfile", "--daemonize", "--save"),  # Valkey
    *("--appendonly", "--appendfsync", "--maxmemory", "--maxmemory-policy"),
}
"""Options of other programs that our texts name"""


def test_every_option_in_a_message_exists() -> None:
    """Texts of the packages send a user only to options that some verb takes."""
    known = set().union(*verbs().values(), OTHER_PROGRAMS)
    unknown = {
        f"{path.relative_to(ROOT)}:{node.lineno} {option}"
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", node.value)
        if option not in known
    }
    assert unknown == set()


def test_what_is_said_not_to_exist_does_not_exist() -> None:
    said = [code for code in ALL_CODE if NOT_YET in code.around and f"**`{code.text}`**" in code.around]
    assert [code.text for code in said if not list(faults_of(code))] == []


# --- variables and metrics ---------------------------------------------------------------------------------


def test_every_variable_exists() -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields} | variables_read_elsewhere()
    named = {
        (code.document.name, variable)
        for code in ALL_CODE
        for variable in re.findall(rf"\b{PREFIX}[A-Z_]+\b", code.text)
    }
    assert {(document, variable) for document, variable in named if variable not in known} == set()


def test_the_page_of_settings_is_what_the_settings_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "docs")
    spec = importlib.util.spec_from_file_location("settings_page", ROOT / "docs" / "settings.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert {name for names in module.SECTIONS.values() for name in names} == set(Settings.model_fields)
    assert (ROOT / "docs" / "settings.md").read_text() == module.page(), "run `python docs/settings.py`"


def test_every_refusal_is_listed_under_its_status() -> None:
    """docs/http.md against the one table of problems; and the reasons of an abstention."""
    text = (ROOT / "docs" / "http.md").read_text()
    rows = re.findall(r"^\| (\d{3}) \| (.*) \|$", text, re.MULTILINE)
    listed = {(int(status), kind) for status, kinds in rows for kind in re.findall(r"`([a-z0-9-]+)`", kinds)}
    assert listed == {(kind.status, kind.kind) for kind in KINDS.values()}
    assert {reason for reason in get_args(Reason) if f"| `{reason}` |" not in text} == set()


def test_every_route_exists() -> None:
    """`GET /health` in a document is a route of the service or of its private port."""
    routes = routes_of_the_service()
    named = {
        (code.document.name, method, path.split("?")[0].rstrip("/") or "/")
        for code in ALL_CODE
        for method, path in re.findall(r"\b(GET|POST|PUT|DELETE) (/[\w./?=-]*)", code.text)
    }
    assert named
    missing = {
        (document, method, path)
        for document, method, path in named
        if not any(method == known and re.fullmatch(pattern, path) for known, pattern in routes)
    }
    assert missing == set()


@cache
def routes_of_the_service() -> frozenset[tuple[str, str]]:
    """(method, pattern of the path) of every route in the sources; `{name}` fits one part of a path."""
    found = {("GET", "/openapi.json"), ("GET", "/docs")}
    for folder, prefix in (("routes", ""), ("admin", "")):
        for path in (ROOT / "service" / folder).glob("*.py"):
            text = path.read_text()
            constants = dict(re.findall(r'^(\w+): Final = "(/[^"]*)"', text, re.MULTILINE))
            own = constants.get("PROTOCOL_PATH", prefix)
            for method, spelled in re.findall(r"@(?:router|app)\.(\w+)\(\s*(f?\"[^\"]*\"|_\w+)", text):
                template = constants.get(spelled, spelled.lstrip("f").strip('"'))
                for name, value in constants.items():
                    template = template.replace(f"{{{name}}}", value)
                found.add((method.upper(), re.sub(r"\{\w+\}", "[^/]+", own + template) or "/"))
    return frozenset(found)


@cache
def variables_read_elsewhere() -> frozenset[str]:
    """DEMUR_ names that the packages, tests and benchmarks spell in full."""
    files = (path for folder in FOLDERS if folder != "docs" for path in (ROOT / folder).rglob("*.py"))
    return frozenset(
        name
        for path in files
        if path != Path(__file__)
        for name in re.findall(rf"{PREFIX}[A-Z]\w+", path.read_text())
    )


def test_every_metric_exists() -> None:
    endings = r"(_total|_bucket|_sum|_count)$"
    names = (ROOT / "monitoring" / "metrics" / "names.py").read_text()
    missing = {
        f"{code} ({metric})"
        for code in ALL_CODE
        for metric in re.findall(r"\bdemur_[a-z_]+", code.text)
        if metric not in names and re.sub(endings, "", metric) not in names
    }
    assert not missing
