"""Examples that ``--help`` ends with. The tests run each of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer

EXAMPLES: dict[str, tuple[str, ...]] = {
    "view": ("napari-aln view biopsy.svs dlcnbc.alnmodel dlcnbc-ws.alnmodel tumour.geojson",),
    "demo": ("napari-aln demo --out napari-aln-demo --no-gui",),
    "predict": (
        "napari-aln predict biopsy.svs --model dlcnbc-ws.alnmodel --age 58 --tumor-size 2.1 --er + --pr - "
        "--her2 - --out results",
        "napari-aln predict cohort.csv --model dlcnbc-ws.alnmodel --out results --workers 4",
    ),
    "verify": ("napari-aln verify results/biopsy --slide biopsy.svs --model dlcnbc-ws.alnmodel",),
    "train": (
        "napari-aln train cohort.csv --mode dlcnbc-ws --frozen --encoder resnet50 --download "
        "--out model.alnmodel",
        "napari-aln train cohort.csv --grid grid.toml --out grid",
    ),
    "pretrain": ("napari-aln pretrain cohort.csv --out encoder.safetensors",),
    "train-demo": ("napari-aln train-demo FOLDER",),
    "evaluate": (
        "napari-aln evaluate model.csv --compare clinical.csv --published --out evaluation",
        "napari-aln evaluate results --cohort cohort.csv --out external",
    ),
    "evaluate-maps": ("napari-aln evaluate-maps cohort.csv --model dlcnbc-ws.alnmodel --out maps",),
    "interpret": ("napari-aln interpret cohort.csv --out nuclei-of-the-cohort",),
    "model show": ("napari-aln model show dlcnbc-ws.alnmodel",),
    "model verify": ("napari-aln model verify dlcnbc-ws.alnmodel",),
    "model import-balnmp": (
        "napari-aln model import-balnmp best.pth --encoder vgg16_bn --mode dlcnb --mpp X "
        "--out model.alnmodel",
    ),
    "nuclei measure": ("napari-aln nuclei measure biopsy.svs --roi tumour.geojson --out nuclei",),
    "nuclei contrast": ("napari-aln nuclei contrast results/biopsy --out contrast",),
    "nuclei train": ("napari-aln nuclei train annotated --out mine.alnmodel",),
    "nuclei examples": ("napari-aln nuclei examples annotated --pictures 60 --slide biopsy.svs",),
    "cohort synthesize": ("napari-aln cohort synthesize drawn-slides --patients 20",),
    "cohort import-bcnb": ("napari-aln cohort import-bcnb BCNB_FOLDER cohort.csv --mpp X",),
    "cohort check": ("napari-aln cohort check cohort.csv",),
    "cohort split": ("napari-aln cohort split cohort.csv folds.csv --method kfold --folds 5 --seed 0",),
    "cohort baseline": ("napari-aln cohort baseline cohort.csv clinical.csv",),
    "annotations convert": ("napari-aln annotations convert tumour.geojson tumour.xml",),
    "cache info": ("napari-aln cache info",),
    "cache clear": ("napari-aln cache clear --training",),
    "doctor": ("napari-aln doctor",),
}
"""By command. Names of files stand for the user's own; X is the slides' µm/px."""


def with_examples(app: typer.Typer, above: str = "") -> typer.Typer:
    """Let the help of each command of an application, and of those below it, end with its examples."""
    for command in app.registered_commands:
        name = command.name or (command.callback.__name__ if command.callback else "")
        if shown := EXAMPLES.get(f"{above}{name}"):
            command.epilog = "\n\n".join(("Example:" if len(shown) == 1 else "Examples:", *shown))
    for group in app.registered_groups:
        if group.typer_instance is not None:
            with_examples(group.typer_instance, f"{above}{group.name} ")
    return app
