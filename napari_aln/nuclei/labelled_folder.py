"""Annotated pictures on disk: ``<set>/<name>.png`` and ``<set>/<name>_labels.png``, or both without a set."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from napari_aln.errors import MppError, UsageError
from napari_aln.nuclei.scale import estimate_mpp
from napari_aln.nuclei.segmentation import checked_mpp
from napari_aln.nuclei.training import LabelledPicture

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

LABELS_SUFFIX = "_labels"
TABLE_NAME = "images.csv"
_EXPECTED = "Put <set>/<name>.png and <set>/<name>_labels.png there (0 = background, 1.. = nuclei)."


class LabelledFolder(NamedTuple):
    """What lies in a folder."""

    pictures: list[LabelledPicture]
    estimated: list[str]  # names of pictures whose µm/px nobody stated


def read_labelled(folder: Path, table: Path | None = None) -> LabelledFolder:
    """Read all annotated pictures of a folder, by name.

    A table with the columns ``set``, ``name`` and ``mpp`` says their µm/px: the one that is given, or
    ``images.csv`` in the folder. Where it, or its value, is missing it is estimated from sizes of nuclei.

    Raises
    ------
    UsageError
        No pictures, one without labels or labels without a picture, sizes that differ, files that are no
        pictures, or no nucleus in any.
    MppError
        An impossible µm/px.
    """
    if not folder.is_dir():
        raise UsageError(f"There is no folder {folder}.", "Check the path.")
    files = sorted(p for p in (*folder.glob("*.png"), *folder.glob("*/*.png")))
    labels = {p for p in files if p.stem.endswith(LABELS_SUFFIX)}
    images = [p for p in files if p not in labels]
    if not images:
        raise UsageError(f"{folder} holds no pictures.", _EXPECTED)
    orphans = labels - {_labels_path(image) for image in images}
    if orphans:
        raise UsageError(f"{min(orphans)} has no picture beside it.", _EXPECTED)
    stated = _stated(folder / TABLE_NAME if table is None else table, needed=table is not None)
    pictures, estimated = [], []
    for image in images:
        group = image.parent.name if image.parent != folder else ""
        name = f"{group}/{image.stem}" if group else image.stem
        rgb, of = _rgb(image), _labels(_labels_path(image))
        if rgb.shape[:2] != of.shape:
            (h, w), (label_h, label_w) = rgb.shape[:2], of.shape
            raise UsageError(
                f"{image} has {w} x {h} pixels, its labels have {label_w} x {label_h}.",
                "Save both at the same size.",
            )
        mpp = stated.get((group, image.stem))
        if mpp is None:
            estimated.append(name)
            mpp = estimate_mpp(rgb)
        pictures.append(LabelledPicture(name, rgb, of, mpp, group))
    if not any(picture.labels.any() for picture in pictures):
        raise UsageError(f"There is no nucleus in any label picture of {folder}.", _EXPECTED)
    return LabelledFolder(pictures, estimated)


def _labels_path(image: Path) -> Path:
    return image.with_name(f"{image.stem}{LABELS_SUFFIX}.png")


def _stated(path: Path, *, needed: bool) -> dict[tuple[str, str], float]:
    if not needed and not path.is_file():
        return {}
    try:
        table = pd.read_csv(path, dtype={"set": str, "name": str}, keep_default_na=False)
        given = table["mpp"].astype(str).str.strip()
        sets = table["set"] if "set" in table else pd.Series("", index=table.index)
        stated = {
            (group, name): float(mpp)
            for group, name, mpp in zip(sets, table["name"], given, strict=True)
            if mpp
        }
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(
            f"{path} is no table of pictures: {error}.", "Give it the columns set, name and mpp (µm/px)."
        ) from error
    try:
        return {key: checked_mpp(mpp) for key, mpp in stated.items()}
    except MppError as error:
        raise MppError(f"{path}: {error.fact}", error.next_step) from error


def _opened(path: Path) -> NDArray[np.generic]:
    try:
        with Image.open(path) as picture:
            return np.asarray(picture if picture.mode != "P" else picture.convert("RGB"))
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise UsageError(f"{path} cannot be read as a picture: {error}.", "Save it anew as PNG.") from error


def _rgb(path: Path) -> NDArray[np.uint8]:
    pixels = _opened(path)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in (3, 4):
        raise UsageError(f"{path} is no RGB picture.", "Save it as RGB with 8 bits a channel.")
    return np.ascontiguousarray(pixels[..., :3], np.uint8)


def _labels(path: Path) -> NDArray[np.int32]:
    if not path.is_file():
        raise UsageError(f"{path} is missing.", _EXPECTED)
    pixels = _opened(path)
    if pixels.ndim != 2 or pixels.dtype.kind not in "iu":
        raise UsageError(
            f"{path} holds no labels but {'colours' if pixels.ndim == 3 else pixels.dtype}.",
            "Save the number of each nucleus, 0 for background, as 8- or 16-bit grey.",
        )
    return pixels.astype(np.int32)
