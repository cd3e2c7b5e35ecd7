"""What the report says, and the colour scales of its pictures."""

import numpy as np
import pytest
from tests_shared import drain

from napari_aln import open_slide
from napari_aln.mil.bundle import open_bundle
from napari_aln.records import Clinical
from napari_aln.settings import PredictSettings
from napari_aln.workflows.maps import MAP_STYLES, colour_limits
from napari_aln.workflows.predict import Request, predict_to_folder


def test_the_report_states_values_fillings_and_warnings(tissue_slide, make_bundle, tmp_path):
    name = "<script>alert(1)</script>"
    bundle = open_bundle(make_bundle("dlcnbc-ws", name=name))
    with open_slide(tissue_slide) as slide:
        request = Request(
            [bundle],
            clinical=Clinical(age_years=61, er=True),
            settings=PredictSettings(fill_clinical=True),
        )
        _, place = drain(predict_to_folder(slide, request, tmp_path))
    report = (place / "report.html").read_text(encoding="utf-8")
    for words in ("age: 61 years", "ER +", "PR: unknown", "filled from the training cohort", "tumor_size_cm"):
        assert words in report
    assert name not in report  # a card's text is text
    assert "&lt;script&gt;" in report


@pytest.mark.parametrize(
    ("name", "values", "limits"),
    [
        ("attention_slide", [0.2, 3.0], (0.0, 3.0)),
        ("contribution", [-0.5, 0.1], (-0.5, 0.5)),
        ("probability", [0.4, 0.5], (0.0, 1.0)),
        ("attention_slide", [np.nan], (0.0, 1.0)),
    ],
)
def test_colour_scales(name, values, limits):
    assert colour_limits(MAP_STYLES[name], [np.array(values)]) == pytest.approx(limits, rel=0.02)
