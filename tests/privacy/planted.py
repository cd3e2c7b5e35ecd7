"""Tables, regions, pictures and models that bear a person's name wherever they have room for one."""

import json
import shutil
from pathlib import Path

import numpy as np
from marked_slides import MARK, write_tiff
from PIL import Image

from napari_aln.cohort.table import CohortRow, read_cohort, write_cohort
from napari_aln.cohort.truth import nuclei_path

PERSON = f"{MARK}, Jane"
"""Names folders."""

SPLITS = ("train", "train", "train", "train", "val", "val", "test", "test")
N_PATIENTS = len(SPLITS)
RECEPTORS = {"er": "+", "pr": "-", "her2": "-"}


def marked_folder(parent):
    folder = parent / PERSON
    folder.mkdir()
    return folder


def marked_model(path, folder, name=""):
    """Copy a model's bundle into a file named after the patient."""
    return Path(shutil.copy(path, folder / f"{MARK}{name}.alnmodel"))


def marked_roi(folder):
    """Write an ROI whose file, region names and classes say who it is; one lies partly off the slide."""
    rings = (
        ("tumour ROI", [[700, 500], [2100, 500], [2100, 1500], [700, 1500], [700, 500]]),
        ("", [[2000, 500], [9000, 500], [9000, 900], [2000, 500]]),
        (f"{MARK} normal", [[10, 10], [90, 10], [90, 90], [10, 10]]),
    )
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [ring]},
            "properties": {"name": f"{MARK} left breast"}
            | ({"classification": {"name": name}} if name else {}),
        }
        for name, ring in rings
    ]
    path = folder / f"{MARK} roi.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}), encoding="utf-8")
    return path


def marked_table(folder):
    """Write a table of patients with slides too small to be predicted; one slide is damaged."""
    rng, rows = np.random.default_rng(7), []
    for number, split in enumerate(SPLITS):
        slide = folder / f"{MARK} {number}.tif"
        write_tiff(slide, rng.integers(0, 256, (300, 300, 3), np.uint8))
        known = {"age_years": 50 + 3 * (number % 4), "tumor_size_cm": 2.0 + number % 3, **RECEPTORS}
        person = {"patient_id": f"{MARK} Jane {number}", "slide": slide, "site": f"{MARK} clinic"}
        rows.append(CohortRow(**person, **known, label=("N0", "N(+)")[number % 2], split=split))
    return _written(folder, [*rows, *_strangers(folder, rows)])


def marked_cohort(cohort, folder, *, with_strangers=True):
    """Write the table of a drawn cohort whose folder, file, slides, outlines and patients bear a name.

    Strangers to a training are a slide that is damaged and a patient of no split.
    """
    rows = []
    for number, row in enumerate(read_cohort(cohort)):
        slide, roi = folder / f"{MARK} {number}.tif", folder / f"{MARK} {number}.geojson"
        shutil.copy(row.slide, slide)
        shutil.copy(row.roi, roi)
        own = row.model_copy(update={"patient_id": f"{MARK} Jane {number}", "slide": slide, "roi": roi})
        shutil.copy(nuclei_path(row), folder / f"{own.patient_id}-nuclei.parquet")
        rows.append(own)
    return _written(folder, [*rows, *_strangers(folder, rows)] if with_strangers else rows)


def _strangers(folder, rows):
    damaged = folder / f"{MARK} damaged.tif"
    damaged.write_bytes(b"II*\0 no slide")
    nobody = {"patient_id": f"{MARK} of no split", "split": None}
    return [rows[0].model_copy(update={"slide": damaged}), rows[1].model_copy(update=nobody)]


def _written(folder, rows):
    path = folder / f"{MARK}.csv"
    write_cohort(path, rows)
    return path


def marked_scores(folder, name=""):
    """Write a table of scores whose file and patients bear a name."""
    rng = np.random.default_rng(len(name))
    lines = ["patient,label,score,split"]
    for number in range(60):
        label, split = ("N0", "N(+)")[number % 2], ("train", "val", "test")[number // 2 % 3]
        score = 0.3 + 0.2 * (number % 2) + 0.4 * rng.uniform()
        lines.append(f"{MARK} {number},{label},{score:.4f},{split}")
    path = folder / f"{MARK}{name}.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def marked_pictures(folder):
    """Write labelled pictures whose set and files bear a name."""
    rng = np.random.default_rng(3)
    labels = np.zeros((120, 120), np.uint16)
    for number in range(9):
        top, left = 10 + 38 * (number // 3), 10 + 38 * (number % 3)
        labels[top : top + 20, left : left + 22] = number + 1
    (folder / MARK).mkdir(parents=True)
    for name in "abc":
        tissue = np.where(labels[..., None] > 0, (95, 60, 140), (226, 170, 200))
        rgb = (tissue + rng.integers(0, 9, (120, 120, 1))).astype(np.uint8)
        Image.fromarray(rgb).save(folder / MARK / f"{MARK} {name}.png")
        Image.fromarray(labels).save(folder / MARK / f"{MARK} {name}_labels.png")
    return folder
