"""Weights of vision transformers in Hugging Face form, from a local folder or from the hub."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from trainer.errors import RunError
from trainer.models.normalisation import MeanStd

FETCHED = ("config.json", "preprocessor_config.json", "model*.safetensors", "model.safetensors.index.json")
"""Files fetched from the hub; never a pickle"""
HUB_BACKBONE = "facebook/dinov2-small"
"""Weights that `backbone: auto` takes from the hub: small, free to use, and good without training"""
HUB_PATIENCE_S = 5.0
"""Seconds that the hub has for its first answer"""


class BackboneError(RunError):
    """The named backbone cannot be built; the message says why and what would work."""


class WeightsNotFound(BackboneError):
    """There are no weights at the configured place."""


class HubUnavailable(BackboneError):
    """The weights could not be fetched from the hub."""


@dataclass(frozen=True, slots=True)
class WeightFolder:
    """Pretrained weights that were found: a folder with `config.json` and safetensors."""

    source: str
    """`folder:PATH` or `hub:OWNER/NAME[@REVISION]`, as configured"""
    path: Path
    name: str
    """Name in records: OWNER/NAME on the hub, else the name of the folder"""
    config: dict[str, Any]

    @property
    def model_type(self) -> str:
        return str(self.config.get("model_type", ""))

    def side(self, field: str, default: int) -> int:
        """Pixels per side in the config, as `image_size` or `patch_size`; `default` if it says none."""
        value = self.config.get(field, default)
        return int(value if isinstance(value, int) else value[0])

    def digest(self) -> str:
        """sha256 over the weight files."""
        whole = hashlib.sha256()
        for file in sorted(self.path.glob("*.safetensors")):
            with file.open("rb") as stream:
                whole.update(hashlib.file_digest(stream, "sha256").digest())
        return whole.hexdigest()

    def mean_std(self) -> MeanStd | None:
        """The normalisation that the weights were trained with, if the folder says it."""
        file = self.path / "preprocessor_config.json"
        if not file.is_file():
            return None
        values = _read_json(file)
        try:
            (r, g, b), (sr, sg, sb) = values["image_mean"], values["image_std"]
        except (KeyError, TypeError, ValueError):
            return None
        return (float(r), float(g), float(b)), (float(sr), float(sg), float(sb))


def open_weights(where: str) -> WeightFolder:
    """Open `folder:PATH`, or `hub:OWNER/NAME[@REVISION]` after fetching it into the hub's cache.

    Raises `WeightsNotFound` or `HubUnavailable`.
    """
    scheme, _, rest = where.partition(":")
    if scheme == "folder" and rest:
        path = Path(rest).expanduser()
        return _open_folder(where, path, path.resolve().name)
    if scheme == "hub" and rest:
        name, _, revision = rest.partition("@")
        return _open_folder(where, _fetch(name, revision or None), name)
    raise WeightsNotFound(f"weights is {where!r}; it must be random, folder:PATH or hub:OWNER/NAME")


def load_network(model_class: Any, folder: WeightFolder, options: Mapping[str, Any]) -> Any:
    """The network, built with `options`; `BackboneError` names weights that the folder lacks."""
    try:
        with quiet():
            net, report = model_class.from_pretrained(
                folder.path,
                config=model_class.config_class.from_pretrained(folder.path),
                use_safetensors=True,
                output_loading_info=True,
                local_files_only=True,
                **options,
            )
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise BackboneError(f"weights of {folder.name} cannot be loaded: {first_line}") from error
    lacking = sorted(
        name for name in report["missing_keys"] if "pooler" not in name and "mask_token" not in name
    )
    if lacking or report["mismatched_keys"]:
        named = [*lacking, *(str(entry[0]) for entry in report["mismatched_keys"])]
        raise BackboneError(
            f"{folder.name} is no {model_class.__name__}: {len(named)} of its weights are missing or of "
            f"another shape, {named[0]} first"
        )
    return net.float()


def _open_folder(source: str, path: Path, name: str) -> WeightFolder:
    config = path / "config.json"
    if not config.is_file():
        raise WeightsNotFound(
            f"{path} holds no config.json; it must be a folder as save_pretrained writes it"
        )
    if not any(path.glob("model*.safetensors")):
        raise WeightsNotFound(f"{path} holds no model.safetensors; weights in other forms are not loaded")
    return WeightFolder(source, path, name, _read_json(config))


@lru_cache(maxsize=16)
def _fetch(name: str, revision: str | None) -> Path:
    """Folder in the hub's cache; fetched once per process, since every run of a comparison needs it."""
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(
                name,
                revision=revision,
                allow_patterns=list(FETCHED),
                endpoint=os.environ.get("HF_ENDPOINT") or None,
            )
        )
    except Exception as error:  # the client's HTTP library, and so its errors, differ between versions
        raise HubUnavailable(
            f"the weights {name} could not be fetched from the hub ({type(error).__name__}): check the name, "
            "the network, for gated weights HF_TOKEN, and that the folder HF_HOME is writable; or download "
            "them and use folder:PATH"
        ) from error


def at_hub(name: str, patience_s: float = HUB_PATIENCE_S) -> bool:
    """Whether the weights `name` are in the hub's cache, or the hub answers for them within `patience_s`.

    The answer is waited for on a thread of its own: a name server that is away takes longer than any timeout
    of the client.
    """
    try:
        from huggingface_hub import HfApi, snapshot_download
    except ImportError:
        return False
    endpoint = os.environ.get("HF_ENDPOINT") or None

    def in_cache() -> None:
        snapshot_download(name, allow_patterns=list(FETCHED), local_files_only=True)

    def answered() -> None:
        HfApi(endpoint=endpoint).model_info(name, timeout=patience_s)

    return _succeeds(in_cache) or _succeeds(answered, patience_s)


def _succeeds(call: Callable[[], None], patience_s: float = HUB_PATIENCE_S) -> bool:
    """Whether `call` returns without an error within `patience_s`."""
    done: list[bool] = []

    def attempt() -> None:
        with contextlib.suppress(Exception):  # the client's errors differ between versions
            call()
            done.append(True)

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(patience_s)
    return bool(done)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BackboneError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(values, dict):
        raise BackboneError(f"{path} holds {type(values).__name__}; it must be an object")
    return values


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence the progress bars and reports of transformers; errors are still raised."""
    from transformers.utils import logging as untyped

    logging: Any = untyped
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
