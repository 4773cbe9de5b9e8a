"""Splits that the folders of a data set name, and how they become the four splits of a run.

A certificate needs images that were used for nothing else, and few data sets have a folder for them. So the
validation folder gives val_select and val_calib, and the test folder val_test; `pools_of` says what happens
if one of them is missing or too small.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path, PurePath

import numpy as np

from calibration.scores import IntArray
from trainer.data.images import StrArray, UnreadableSource
from trainer.data.splits import (
    CALIBRATION_HEADROOM,
    CALIBRATION_SHARE,
    SELECTION_SHARE,
    SPLIT_NAMES,
    TEST_SHARE,
    CalibrationNeed,
    SplitError,
    Splits,
    TooFewUnits,
    check_rows,
    draw_blocks,
    splits_of,
    units_of,
)

TRAIN, VALIDATION, TEST = "train", "validation", "test"
_WORDS = {
    **dict.fromkeys(("train", "training"), TRAIN),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), TEST),
    **dict.fromkeys(("val", "valid", "validation", "dev", "development"), VALIDATION),
}
"""Names of splits, in lower case and without what `role_of` takes off -> the role"""
_SHARES: Mapping[str, float] = {
    "val_select": SELECTION_SHARE,
    "val_calib": CALIBRATION_SHARE,
    "val_test": TEST_SHARE,
}
MOST_CALIBRATION = 0.86
"""Largest share of a folder that calibration gets beside other splits"""
DRAW_INSTEAD = "leave out `--splits folders`, so that demur draws the splits itself"


def role_of(name: str) -> str | None:
    """Role of a folder named `Train`, `training_set`, `test-images` or `VAL 2`; None for other names."""
    word = re.sub(r"[^a-z]", "", name.casefold())
    return _WORDS.get(re.sub(r"(set|sets|data|dataset|images|split|folder)$", "", word))


def roles_of(root: Path, paths: Sequence[PurePath]) -> StrArray:
    """[n], the role of the first folder of each path; `UnreadableSource` for a path without one."""
    roles = [role_of(path.parts[0]) if len(path.parts) > 1 else None for path in paths]
    strange = [path for path, role in zip(paths, roles, strict=True) if role is None]
    if strange:
        where = strange[0].parts[0] if len(strange[0].parts) > 1 else "no folder"
        raise UnreadableSource(
            f"{len(strange)} images of {root} are in no folder that names a split, the first {strange[0]} in "
            f"{where}; the folders must be called train, val (validation, dev) and test (eval), in any "
            f"spelling: move the images, or {DRAW_INSTEAD}"
        )
    return np.array(roles, dtype=np.str_)


def pools_of(units: Mapping[str, int], need: int, *, trains: bool) -> dict[str, tuple[str, ...]]:
    """Role -> the splits that are drawn from its folder.

    `units`: role -> number of its units. `need`: units that a certificate needs. `trains`: the run trains,
    so that images of train are its own; otherwise they may have trained the model, and are not read.
    Raises `SplitError` if no images are left for calibration.
    """
    if trains and TRAIN not in units:
        raise SplitError(
            f"no folder is called train, so there is nothing to learn from: add it, or {DRAW_INSTEAD}"
        )
    unread: dict[str, tuple[str, ...]] = {TRAIN: ("train",)} if TRAIN in units else {}
    every = ("val_select", "val_calib", "val_test")
    if VALIDATION in units and TEST in units:
        if units[VALIDATION] * MOST_CALIBRATION < need <= units[TEST] * MOST_CALIBRATION:
            return {**unread, VALIDATION: ("val_select",), TEST: ("val_calib", "val_test")}
        return {**unread, VALIDATION: ("val_select", "val_calib"), TEST: ("val_test",)}
    if VALIDATION in units:
        return {**unread, VALIDATION: every}
    if TEST in units and trains:
        return {TRAIN: ("train", "val_select"), TEST: ("val_calib", "val_test")}
    if TEST in units:
        return {**unread, TEST: every}
    raise SplitError(
        "no images are left for calibration: the only folder is train, and a certificate needs images that "
        f"trained nothing. Add a folder val or test, or {DRAW_INSTEAD}"
    )


def splits_by_role(
    labels: IntArray,
    groups: StrArray | None,
    roles: StrArray,
    need: CalibrationNeed,
    *,
    seed: int,
    ids: Sequence[str] | None = None,
    trains: bool = True,
) -> Splits:
    """The four splits from the role of each row [n]; what a folder gives to several is drawn by group.

    Other arguments are those of `make_splits`. Raises `SplitError` for a group in folders of two roles, and
    as `pools_of` does; `TooFewUnits` for a folder with fewer units than splits.
    """
    check_rows(labels, groups, ids)
    shared = shared_groups(groups, roles)
    if shared:
        raise SplitError(shared_sentence(shared))
    units = units_of(labels, groups, ids)
    held = {role: len(np.unique(units[roles == role])) for role in np.unique(roles).tolist()}
    names = np.empty(len(labels), dtype="U10")
    for role, splits in pools_of(held, need.units, trains=trains).items():
        if held[role] < len(splits):
            what = "images" if groups is None else "groups"
            raise TooFewUnits(
                f"the {role} folder holds {held[role]} {what} for {', '.join(splits)}; at least one each is "
                f"needed: add some, or {DRAW_INSTEAD}"
            )
        rows = np.flatnonzero(roles == role)
        sizes = _sizes(splits, held[role], need.units)
        names[rows] = draw_blocks(units[rows], labels[rows], sizes, seed)
    return splits_of(names, labels, groups, ids, seed)


def _sizes(splits: Collection[str], units: int, need: int) -> dict[str, int]:
    """Split -> its number of units, of a folder that holds so many."""
    if "train" in splits:
        select = max(1, round(SELECTION_SHARE * units)) if len(splits) > 1 else 0
        return {"train": units - select, **({"val_select": select} if select else {})}
    sizes: dict[str, int] = {}
    left, shares = units, sum(_SHARES[name] for name in splits)
    # Calibration first, since a promise depends on it.
    for name in sorted(splits, key=lambda name: name != "val_calib"):
        wanted = units * _SHARES[name] / shares
        if name == "val_calib" and len(splits) > 1:
            wanted = max(wanted, min(CALIBRATION_HEADROOM * need, MOST_CALIBRATION * units))
        after = len(splits) - len(sizes) - 1
        sizes[name] = left if not after else max(1, min(round(wanted), left - after))
        left -= sizes[name]
    return sizes


def shared_groups(groups: StrArray | None, roles: StrArray) -> dict[str, tuple[str, ...]]:
    """Groups with images in folders of several roles -> these roles."""
    if groups is None:
        return {}
    pairs = np.unique(np.stack([groups.astype(object), roles.astype(object)]).astype(np.str_), axis=1)
    names, counts = np.unique(pairs[0], return_counts=True)
    return {name: tuple(pairs[1][pairs[0] == name].tolist()) for name in names[counts > 1].tolist()}


def shared_sentence(shared: Mapping[str, tuple[str, ...]]) -> str:
    first, roles = next(iter(shared.items()))
    return (
        f"groups with images in several split folders: {len(shared)}, the first {first!r} in "
        f"{' and '.join(roles)}. What was seen in training proves nothing: move each group to one folder, or "
        f"{DRAW_INSTEAD}"
    )


def mapping_sentence(roles: StrArray, names: StrArray) -> str:
    """`train -> train 800; validation -> val_select 40, val_calib 160 images`, as the folders were used."""
    parts = []
    for role in (TRAIN, VALIDATION, TEST):
        counts = [(name, int(((roles == role) & (names == name)).sum())) for name in SPLIT_NAMES]
        given = ", ".join(f"{name} {count:,}" for name, count in counts if count)
        if given:
            parts.append(f"{role} -> {given}")
    return f"Splits by folder, in images: {'; '.join(parts)}"
