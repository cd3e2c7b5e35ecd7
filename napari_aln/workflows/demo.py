"""The main job on the slide, region, clinical values and models that come with the program."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_aln.cohort.table import find_patient, read_cohort
from napari_aln.errors import StoreError
from napari_aln.mil.bundle import open_bundle
from napari_aln.shipped import sample_path as sample_path
from napari_aln.slides import open_slide
from napari_aln.workflows.predict import Request, predict_to_folder

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari_aln.records import Clinical, Progress, SlideResult
    from napari_aln.store.features import FeatureCache

SLIDE, ROI, CLINICAL = "demo-slide.tif", "demo-roi.geojson", "demo-clinical.csv"
BUNDLES = ("dlcnbc-demo.alnmodel", "dlcnbc-ws-demo.alnmodel")
THREE_CLASS = "dlcnbc-ws-three-class-demo.alnmodel"
DEMO_FILES = (SLIDE, ROI, CLINICAL, *BUNDLES, THREE_CLASS)


def demo_clinical() -> Clinical:
    """Return the clinical values of the demo slide's (synthetic) patient."""
    return find_patient(read_cohort(sample_path(CLINICAL)), Path(SLIDE).stem).clinical


def demo(out: Path, cache: FeatureCache | None = None) -> Generator[Progress, None, tuple[SlideResult, Path]]:
    """Yield progress, return the result of both modes on the demo slide and the folder it was written to.

    Raises
    ------
    StoreError
        The demo files are missing, or `out` may not be written to.
    """
    missing = [name for name in DEMO_FILES if not sample_path(name).is_file()]
    if missing:
        raise StoreError(f"The demo data is not whole: {missing[0]} is missing.", "Install napari-aln again.")
    with open_slide(sample_path(SLIDE)) as slide:
        request = Request(
            [open_bundle(sample_path(name)) for name in BUNDLES],
            regions=sample_path(ROI),
            clinical=demo_clinical(),
            cache=cache,
        )
        return (yield from predict_to_folder(slide, request, out))
