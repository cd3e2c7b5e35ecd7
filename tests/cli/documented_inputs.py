"""What the names of files in documented commands stand for: small inputs, made where a command names them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import independent_mil
import numpy as np
from bcnb_download import write_download
from made_results import Made, write_results
from PIL import Image
from tests_shared import drain, draw_tissue, write_slide

from napari_aln.cohort.table import CohortRow, read_cohort, write_cohort
from napari_aln.shipped import sample_path
from napari_aln.workflows.cohorts.import_bcnb import import_bcnb

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MPP_X = "0.5"
"""What X stands for in commands."""


class Shared(NamedTuple):
    """What several inputs are made of."""

    slide: Path
    roi: Path
    ws_bundle: Path
    roi_bundle: Path
    cohort: Path


def draw_slide(path: Path) -> Path:
    """Write a slide with 0.4 mm² of tissue: nuclei are found soon."""
    return write_slide(path, draw_tissue(np.random.default_rng(3))[300:1600, 400:1700])


def draw_roi(path: Path) -> Path:
    ring = [[200, 200], [900, 200], [900, 900], [200, 900], [200, 200]]
    path.write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    return path


def cohort(path: Path, shared: Shared) -> None:
    write_cohort(path, read_cohort(shared.cohort))  # its paths are absolute


def many_patients(path: Path, shared: Shared) -> None:
    """Write a cohort with enough patients for folds, and no slides."""
    rows = [CohortRow(patient_id=f"{number:03d}", label=("N0", "N(+)")[number % 2]) for number in range(40)]
    write_cohort(path, rows)


def results(path: Path, shared: Shared) -> None:
    """Write what predict leaves of `many_patients`."""
    slides = [Made(f"{n}.svs", f"{n:03d}", 0.2 + 0.3 * (n % 2) + 0.4 * (n % 7) / 7) for n in range(40)]
    write_results(path, slides)


def imported(path: Path, shared: Shared) -> None:
    """Write the cohort that a BCNB download becomes, with its bag lists."""
    drain(import_bcnb(write_download(Path("bcnb").absolute()), path, 0.5, complete_only=False))


def scores(path: Path, shared: Shared) -> None:
    rng = np.random.default_rng(len(path.name))
    lines = ["patient,label,score,split,age (years),tumor_size_cm,er,pr,her2"]
    for number in range(60):
        label, split = ("N0", "N(+)")[number % 2], ("train", "val", "test")[number // 2 % 3]
        score = 0.3 + 0.2 * (number % 2) + 0.4 * rng.uniform()
        lines.append(f"{number:03d},{label},{score:.4f},{split},{30 + number % 40},2.1,+,-,+")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def other_fold(path: Path, shared: Shared) -> None:
    """Write scores of patients whom `scores` does not name."""
    scores(path, shared)
    head, *lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([head, *(f"1{line}" for line in lines)]) + "\n", encoding="utf-8")


def result(path: Path, shared: Shared) -> None:
    """Write a result folder with nuclei, as predict and nuclei measure do."""
    import napari_aln
    from napari_aln.mil.bundle import open_bundle
    from napari_aln.records import Clinical
    from napari_aln.settings.nuclei import NucleiSettings
    from napari_aln.workflows.nuclei.folder import NucleiRequest, nuclei_to_folder
    from napari_aln.workflows.predict import Request, predict_to_folder

    slide, bundle = Path("biopsy.svs"), Path("dlcnbc-ws.alnmodel")  # verify looks for them where it runs
    shutil.copy(shared.slide, slide)
    shutil.copy(shared.ws_bundle, bundle)
    made = shared.slide.with_name("result")
    if made.exists():
        shutil.copytree(made, path)
        return
    clinical = Clinical(age_years=58, tumor_size_cm=2.1, er=True, pr=False, her2=False)
    with napari_aln.open_slide(slide) as opened:
        request = Request([open_bundle(bundle)], clinical=clinical)
        _, place = drain(predict_to_folder(opened, request, path.parent))
        drain(nuclei_to_folder(opened, NucleiRequest(NucleiSettings()), place))
    assert place == path
    shutil.copytree(place, made)


def annotated(path: Path, shared: Shared) -> None:
    labels = np.zeros((120, 120), np.uint16)
    for k in range(9):
        top, left = 10 + 38 * (k // 3), 10 + 38 * (k % 3)
        labels[top : top + 20, left : left + 22] = k + 1
    rgb = np.where(labels[..., None] > 0, (95, 60, 140), (226, 170, 200)).astype(np.uint8)
    (path / "breast").mkdir(parents=True)
    for name in ("a", "b"):
        Image.fromarray(rgb).save(path / "breast" / f"{name}.png")
        Image.fromarray(labels).save(path / "breast" / f"{name}_labels.png")
    (path / "images.csv").write_text("set,name,mpp\nbreast,a,0.25\nbreast,b,0.25\n")


def published_encoder(path: Path, shared: Shared) -> None:
    """Write weights and config as makers of encoders publish them: a small network of the documented name."""
    from safetensors.torch import save_file

    from napari_aln.runtimes.timm_import import import_timm

    small = {"img_size": 32, "embed_dim": 24, "depth": 1, "num_heads": 2}
    network = import_timm("a test").create_model("vit_small_patch16_224", num_classes=0, **small)
    save_file(network.state_dict(), path)
    config = {
        "architecture": "vit_small_patch16_224",
        "model_args": small,
        "pretrained_cfg": {"input_size": [3, 32, 32], "mean": [0.5] * 3, "std": [0.5] * 3},
    }
    path.with_name("config.json").write_text(json.dumps(config))


def checkpoint(path: Path, shared: Shared) -> None:
    """Write a checkpoint of the reference implementation with random weights."""
    import torch

    backbone = independent_mil.reference_backbone("resnet18")
    torch.save(independent_mil.checkpoint(backbone, 512, 2, clinical=False), path)


def grid(path: Path, shared: Shared) -> None:
    shutil.copy(shared.ws_bundle, "encoder.alnmodel")
    path.write_text(
        'trainer = "frozen"\nmodes = ["dlcnbc-ws"]\nencoders = ["squeezenet1_1"]\nseeds = [0, 1]\n'
        "[recipe]\nepochs = 2\nbags_per_epoch = 2\n"
        '[weights]\nsqueezenet1_1 = "encoder.alnmodel"\n'
    )


def _copy(name: str) -> Callable[[Path, Shared], None]:
    return lambda path, shared: shutil.copy(getattr(shared, name), path)


INPUTS: dict[str, Callable[[Path, Shared], object]] = {
    "biopsy.svs": _copy("slide"),
    "CMU-1-Small-Region.svs": _copy("slide"),
    "tumour.geojson": _copy("roi"),
    "dlcnbc.alnmodel": _copy("roi_bundle"),
    "dlcnbc-ws.alnmodel": _copy("ws_bundle"),
    "FOLDER/dlcnbc-ws-demo.alnmodel": _copy("ws_bundle"),
    "mine.alnmodel": lambda path, shared: shutil.copy(sample_path("nuclei.alnmodel"), path),
    "cohort.csv": cohort,
    "type-0.csv": cohort,
    "FOLDER/cohort/synthetic-biopsies.csv": cohort,
    "grid.toml": grid,
    "BCNB_FOLDER": lambda path, shared: write_download(path),
    "model.csv": scores,
    "clinical.csv": scores,
    "dlcnbc.training/scores.csv": scores,
    "fold1.training/scores.csv": scores,
    "fold2.training/scores.csv": other_fold,
    "results/biopsy": result,
    "results": results,
    "annotated": annotated,
    "FOLDER": annotated,
    "kaiko/model.safetensors": published_encoder,
    "best.pth": checkpoint,
}


OTHERWISE = {
    ("napari-aln cohort split cohort.csv folds.csv", "cohort.csv"): many_patients,
    ("napari-aln cohort split cohort.csv type-0.csv", "cohort.csv"): imported,
    ("napari-aln evaluate results", "cohort.csv"): many_patients,
}
"""Inputs of commands that begin so, in place of those above."""


def place(words: list[str], shared: Shared, written: Sequence[str] = ()) -> None:
    """Make those of the inputs that a command names and does not write itself, in the working folder."""
    for word in (word for word in words if word not in written):
        make = next((m for (start, name), m in OTHERWISE.items() if _is(start, words) and name == word), None)
        make = make or INPUTS.get(word)
        if make is not None and not Path(word).exists():
            Path(word).parent.mkdir(parents=True, exist_ok=True)
            make(Path(word), shared)


def _is(start: str, words: list[str]) -> bool:
    return words[: len(start.split())] == start.split()
