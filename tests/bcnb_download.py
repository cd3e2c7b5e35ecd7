"""A small download of the BCNB layout, drawn here: the real data may not be passed on."""

import json
from pathlib import Path

import numpy as np
from openpyxl import Workbook
from PIL import Image

COLUMNS = (
    "Patient ID",
    "Age(years)",
    "Tumour Size(cm)",
    "ER",
    "PR",
    "HER2",
    "HER2 Expression",
    "Ki67",
    "Number of lymph node metastases",
    "ALN status",
)
NODES = {"1": 0, "2": 1, "3": 0, "4": 5, "5": 0, "6": 2}
SPLITS = {"train": ["1", "2"], "val": ["3", "4"], "test": ["5", "6"]}
SIZE_PX = (640, 480)


def status(nodes: int) -> str:
    return "N0" if nodes == 0 else "N+(1-2)" if nodes < 3 else "N+(>2)"


def clinical_row(patient_id: str, nodes: int) -> tuple:
    sign = "Positive" if int(patient_id) % 2 else "Negative"
    return (int(patient_id), 50 + nodes, 1.5, sign, sign, "1+", "Negative", "15%", nodes, status(nodes))


def write_slide_and_outline(folder: Path, patient_id: str) -> None:
    rng = np.random.default_rng(int(patient_id))
    pixels = rng.integers(150, 230, (SIZE_PX[1], SIZE_PX[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / f"{patient_id}.jpg")
    ring = [[20, 20], [500, 20], [500, 400], [20, 400]]
    outline = {"positive": [{"name": "Annotation 0", "vertices": ring}], "negative": []}
    (folder / f"{patient_id}.json").write_text(json.dumps(outline))


def write_workbook(path: Path, *rows: tuple) -> None:
    book = Workbook()
    for row in (COLUMNS, *rows):
        book.active.append(row)
    book.save(path)


def write_download(folder: Path) -> Path:
    """Write six patients with slides, outlines, workbook, splits, and bags of type-0 with their patches."""
    (folder / "WSIs").mkdir(parents=True)
    (folder / "dataset-splitting").mkdir()
    (folder / "json").mkdir()
    for patient_id in NODES:
        write_slide_and_outline(folder / "WSIs", patient_id)
    write_workbook(folder / "patient-clinical-data.xlsx", *(clinical_row(*item) for item in NODES.items()))
    for split, ids in SPLITS.items():
        (folder / "dataset-splitting" / f"{split}_id.txt").write_text("\n".join(ids) + "\n")
        bags = [write_bag(folder, patient_id) for patient_id in ids]
        (folder / "json" / f"{split}-type-0.json").write_text(json.dumps(bags))
    return folder


def write_bag(folder: Path, patient_id: str) -> dict:
    place = folder / "patches" / patient_id
    place.mkdir(parents=True)
    names = [f"{patient_id}_0_{256 * i}_0.jpg" for i in range(10)]
    for name in names:
        (place / name).write_bytes(b"a patch")
    return {
        "id": patient_id,
        "label": str(int(NODES[patient_id] > 0)),
        "patch_paths": [f"patches/{patient_id}/{name}" for name in names],
    }
