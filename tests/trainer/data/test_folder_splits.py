"""Folders that name splits become the four splits of a run, and leaks between them are found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from calibration.certificate import RiskTarget
from trainer.data.config import DataConfig, SplitConfig
from trainer.data.faults import FaultyData, PreparedData, find_faults, prepare
from trainer.data.folder_splits import mapping_sentence, pools_of, role_of, splits_by_role
from trainer.data.images import SourceNotFound, UnreadableSource
from trainer.data.opening import split_data
from trainer.data.pixels import PreprocessSpec
from trainer.data.report import describe
from trainer.data.source import open_source
from trainer.data.splits import CalibrationNeed, SplitError, TooFewUnits
from trainer.run.promise import PromiseConfig

Writer = Callable[[dict[str, bytes | str]], Path]
NEED = CalibrationNeed(RiskTarget(0.2, 0.1, 0.7))
SPEC = PreprocessSpec(height=8, width=8)


def by_split(root: Path, group: str | None = None) -> DataConfig:
    return DataConfig(source=f"folder:{root}", splits="folders", group=group)


@pytest.fixture
def photos(write_folder: Writer, encode: Callable[..., bytes]) -> Callable[..., Path]:
    """Folders with as many images of each of two classes as given, in tracks of two."""

    def write(extra: dict[str, bytes | str] | None = None, **folders: int) -> Path:
        files: dict[str, bytes | str] = {}
        for start, (folder, count) in enumerate(folders.items()):
            for index in range(count):
                for label, name in enumerate(("clear", "works")):
                    data = encode(10_000 * start + 2 * index + label)
                    files[f"{folder}/{name}/{folder}{index // 2}/{index}.png"] = data
        return write_folder({**files, **(extra or {})})

    return write


def prepared(root: Path, group: str | None = None) -> PreparedData:
    return prepare(open_source(by_split(root, group)), [SPEC])


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("Train", "train"),
        ("training_set", "train"),
        ("VAL", "validation"),
        ("dev", "validation"),
        ("test-images", "test"),
        ("Evaluation", "test"),
        ("trainers", None),
        ("cats", None),
    ],
)
def test_roles_are_found_in_any_spelling(name: str, role: str | None) -> None:
    assert role_of(name) == role


def test_folders_are_roles_and_the_folders_inside_are_classes(photos: Callable[..., Path]) -> None:
    source = open_source(by_split(photos(Training=4, dev=4, TEST=4), "folder"))
    assert source.class_names == ("clear", "works")
    assert source.roles is not None
    assert {
        path.split("/")[0]: role for path, role in zip(source.paths, source.roles.tolist(), strict=True)
    } == {
        "Training": "train",
        "dev": "validation",
        "TEST": "test",
    }
    assert source.groups is not None
    assert set(source.groups.tolist()) == {
        f"{name}{k}" for name in ("Training", "dev", "TEST") for k in (0, 1)
    }
    (notice,) = [notice for notice in source.notices if notice.code == "split-folders"]
    assert notice.message == "folders read as splits: TEST = test, Training = train, dev = validation"


def test_a_metadata_file_may_name_the_split_in_its_paths(
    write_folder: Writer, encode: Callable[..., bytes]
) -> None:
    rows = [(f"{part}/{k}.png", k % 2) for part in ("train", "val", "test") for k in range(4)]
    text = "\n".join(["file_name,label", *(f"{name},{label}" for name, label in rows)])
    images = {name: encode(k) for k, (name, _) in enumerate(rows)}
    source = open_source(by_split(write_folder({"metadata.csv": text, **images})))
    assert source.roles is not None
    assert source.roles.tolist() == ["train"] * 4 + ["validation"] * 4 + ["test"] * 4
    assert source.labels.tolist() == [0, 1] * 6


@pytest.mark.parametrize(
    ("held", "trains", "pools"),
    [
        (
            {"train": 100, "validation": 50, "test": 50},
            True,
            {"train": "train", "validation": "val_select val_calib", "test": "val_test"},
        ),
        # A validation folder that is too small to certify leaves calibration to a test folder that is not.
        (
            {"train": 100, "validation": 20, "test": 50},
            True,
            {"train": "train", "validation": "val_select", "test": "val_calib val_test"},
        ),
        (
            {"train": 100, "validation": 50},
            True,
            {"train": "train", "validation": "val_select val_calib val_test"},
        ),
        ({"train": 100, "test": 50}, True, {"train": "train val_select", "test": "val_calib val_test"}),
        # Images of train may have trained a model that comes from elsewhere.
        ({"train": 100, "test": 50}, False, {"train": "train", "test": "val_select val_calib val_test"}),
        ({"test": 50}, False, {"test": "val_select val_calib val_test"}),
    ],
)
def test_the_folders_decide_which_splits_they_give(
    held: dict[str, int], trains: bool, pools: dict[str, str]
) -> None:
    found = pools_of(held, 30, trains=trains)
    assert {role: " ".join(splits) for role, splits in found.items()} == pools


def test_nothing_left_for_calibration_or_training_is_refused() -> None:
    with pytest.raises(SplitError, match="no images are left for calibration: the only folder is train"):
        pools_of({"train": 100}, 30, trains=True)
    with pytest.raises(SplitError, match="no folder is called train"):
        pools_of({"test": 100}, 30, trains=True)


def test_every_image_goes_where_its_folder_says_and_groups_stay_whole(photos: Callable[..., Path]) -> None:
    data = prepared(photos(train=10, val=20, test=6), "folder")
    splits = split_data(data, SplitConfig(), PromiseConfig(alpha=0.2, delta=0.1), seed=0, pretrained=False)
    roles = data.source.roles
    assert roles is not None
    assert set(roles[splits.train]) == {"train"}
    assert set(roles[splits.val_select]) == set(roles[splits.val_calib]) == {"validation"}
    assert set(roles[splits.val_test]) == {"test"}
    assert [len(rows) for _, rows in splits] == [20, 4, 36, 12]
    assert mapping_sentence(roles, splits.names) == (
        "Splits by folder, in images: train -> train 20; validation -> val_select 4, val_calib 36; "
        "test -> val_test 12"
    )
    groups = data.source.groups
    assert groups is not None
    held = [set(groups[rows].tolist()) for _, rows in splits]
    assert sum(map(len, held)) == len(set.union(*held))


def test_sizes_in_the_configuration_and_folders_exclude_each_other(photos: Callable[..., Path]) -> None:
    sizes = SplitConfig(val_select=2, val_calib=2, val_test=2)
    with pytest.raises(SplitError, match="leave out one of the two"):
        split_data(prepared(photos(train=4, val=4)), sizes, PromiseConfig(), seed=0, pretrained=False)


def test_a_folder_with_fewer_units_than_splits_is_refused(photos: Callable[..., Path]) -> None:
    data = prepared(photos(train=10, val=2), "folder")
    with pytest.raises(TooFewUnits, match="the validation folder holds 1 groups for val_select, val_calib"):
        split_data(data, SplitConfig(), PromiseConfig(), seed=0, pretrained=False)


def test_a_group_in_two_folders_is_a_fault(photos: Callable[..., Path], encode: Callable[..., bytes]) -> None:
    root = photos({"test/clear/train0/9.png": encode(77)}, train=4, val=4, test=4)
    with pytest.raises(FaultyData, match=r"several split folders: 1, the first 'train0' in test and train"):
        prepared(root, "folder")
    report = describe(open_source(by_split(root, "folder")))
    assert [fault.kind for fault in report.faults if fault.severity == "blocks"] == ["split-groups"]


def test_a_file_in_two_folders_is_reported_and_used_once(
    photos: Callable[..., Path], encode: Callable[..., bytes]
) -> None:
    root = photos({"val/clear/again.png": encode(0)}, train=8, val=8, test=8)
    source = open_source(by_split(root))
    content = [str(source.read(row)) for row in range(len(source))]
    (fault,) = [one for one in find_faults(source, {}, content=content).faults if one.kind == "split-copies"]
    assert "files that are in several split folders: 1" in fault.message
    assert len(prepared(root).source) == len(source) - 1


def test_the_report_shows_the_splits_of_the_folders(photos: Callable[..., Path]) -> None:
    report = describe(open_source(by_split(photos(train=10, val=20, test=6))))
    assert report.mapping is not None
    assert report.mapping.startswith(
        "Splits by folder, in images: train -> train 20; validation -> val_select"
    )
    assert {split.name: split.images for split in report.splits}["val_test"] == 12


def test_a_report_on_a_train_folder_alone_says_what_is_missing(photos: Callable[..., Path]) -> None:
    only = describe(open_source(by_split(photos(train=10))))
    assert "no images are left for calibration" in "".join(fault.message for fault in only.faults)
    assert only.splits == ()


def test_what_is_no_folder_of_splits_is_refused(photos: Callable[..., Path], write_folder: Writer) -> None:
    with pytest.raises(
        UnreadableSource, match=r"2 images of .* the first other/clear/other0/0\.png in other"
    ):
        open_source(by_split(photos(train=2, other=1)))
    with pytest.raises(SourceNotFound, match="only folder:PATH has folders that name splits"):
        open_source(DataConfig(source="parquet:x.parquet", splits="folders"))


def test_the_hint_names_the_option(photos: Callable[..., Path]) -> None:
    with pytest.raises(UnreadableSource, match="or use them as they are with --splits folders"):
        open_source(DataConfig(source=f"folder:{photos(train=2, test=2)}"))


def test_the_seed_moves_images_within_a_folder_only() -> None:
    labels, ids = np.tile([0, 1], 60), [str(k) for k in range(120)]
    roles = np.array(["train"] * 40 + ["validation"] * 80)
    first, again, other = (splits_by_role(labels, None, roles, NEED, seed=s, ids=ids) for s in (0, 0, 1))
    assert first.digests == again.digests
    assert first.digests["train"] == other.digests["train"]
    assert first.digests["val_calib"] != other.digests["val_calib"]
