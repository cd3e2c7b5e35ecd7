"""What is told to have changed since a run."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from napari_aln import open_slide
from napari_aln.mil.bundle import open_bundle
from napari_aln.settings.prediction import PredictSettings
from napari_aln.widgets.changes import changes
from napari_aln.widgets.state import key_of
from napari_aln.workflows.predict import Request
from napari_aln.workflows.slide.prepare import survey


@pytest.fixture
def seen(tissue_slide):
    with open_slide(tissue_slide) as slide:
        return survey(slide)


@pytest.mark.parametrize(
    ("then", "now", "told"),
    [
        ("found", "found", []),
        ("found", "drawn", ["the tissue mask"]),
        ("drawn", "drawn", []),
        ("drawn", "found", ["the tissue mask"]),  # drawn, run, and found anew
        ("none", "found", []),
        ("none", "drawn", ["the tissue mask"]),
    ],
)
def test_a_mask_that_was_drawn_counts_before_the_run_and_after_it(then, now, told, seen, ws_bundle):
    masks = {"none": None, "found": seen, "drawn": seen.with_mask(~seen.mask.tissue, seen.mask.pen)}
    bundle, settings = open_bundle(ws_bundle), PredictSettings()
    asked = Request([bundle], settings=settings)
    state = SimpleNamespace(
        answers={"dlcnbc-ws": SimpleNamespace(request=asked, bundle=bundle, seen=masks[then])},
        chosen={"dlcnbc-ws": key_of(bundle)},
        seen=masks[now],
        clinical=asked.clinical,
        settings=settings,
    )
    assert changes(state, "dlcnbc-ws") == told
