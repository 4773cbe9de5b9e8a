"""A data set on the Hugging Face hub: its parquet shards, fetched once and then read as files."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from bundle.extras import installed_by
from trainer.data.annotate import Annotation
from trainer.data.images import HubUnreachable, ImageSet, NoImages, SourceNotFound
from trainer.data.parquet import open_shards
from trainer.errors import DataError

TIMEOUT_S = 20.0
"""Timeout of the listing of a data set, seconds."""


def open_hub(name: str, annotation: Annotation, *, image_column: str = "image") -> ImageSet:
    """Open `OWNER/NAME` or `OWNER/NAME/SPLIT`; the default split is `train`.

    Shards stay in the hub's own cache; a second run fetches only the listing.
    """
    owner, _, rest = name.partition("/")
    data_set, _, split = rest.partition("/")
    if not owner or not data_set:
        raise SourceNotFound(f"hub:{name} names no data set; write hub:OWNER/NAME or hub:OWNER/NAME/SPLIT")
    files = _fetch(f"{owner}/{data_set}", split or "train")
    return open_shards(files, annotation, image_column=image_column, name=f"hub:{name}")


def shards_of_split(files: list[str], split: str) -> list[str]:
    """The parquet files of one split: those in a folder of its name, or with names that begin with it."""
    parquet = [PurePosixPath(file) for file in sorted(files) if file.endswith(".parquet")]
    return [
        str(file)
        for file in parquet
        if split in file.parent.parts or file.name.split(".")[0].split("-")[0] == split
    ]


def _fetch(repository: str, split: str) -> list[Path]:
    try:
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HFValidationError
    except ImportError:
        raise SourceNotFound(
            f"hub:{repository} needs huggingface_hub; {installed_by('train')}; or download the parquet files "
            "of the data set and use parquet:FOLDER"
        ) from None

    hub = HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None)
    try:
        listing = hub.dataset_info(repository, timeout=TIMEOUT_S).siblings or []
        shards = shards_of_split([entry.rfilename for entry in listing], split)
        if not shards:
            raise NoImages(
                f"the data set {repository} on the hub has no parquet file of the split {split!r} among its "
                f"{len(listing)} files"
            )
        return [Path(hub.hf_hub_download(repository, shard, repo_type="dataset")) for shard in shards]
    except DataError:
        raise
    except HFValidationError as error:
        raise SourceNotFound(f"{repository!r} is no name that a data set on the hub can have") from error
    except Exception as error:  # the client's HTTP library, and so its errors, differ between versions
        raise HubUnreachable(
            f"the data set {repository} could not be fetched from the hub ({type(error).__name__}): check "
            "its name, the network and, where it is gated, HF_TOKEN; or download its parquet files and use "
            "parquet:FOLDER"
        ) from error
