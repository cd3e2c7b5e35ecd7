"""What the report says, that all of it can be traced and repeated, and what it never names."""

import html
import re
import shlex
import shutil
from dataclasses import replace

import numpy as np
import pytest
import shapely
from tests_shared import drain
from typer.testing import CliRunner

from napari_aln import open_slide
from napari_aln.cli.app import app
from napari_aln.errors import UsageError
from napari_aln.mil.bundle import open_bundle
from napari_aln.mil.card import Metric, TrainingCohort
from napari_aln.records import Clinical, Region
from napari_aln.settings.patches import PatchSettings
from napari_aln.settings.prediction import BagSettings, PredictSettings
from napari_aln.store.result import read_document
from napari_aln.workflows.predict import Request, predict_to_folder
from napari_aln.workflows.results.deliver import joined
from napari_aln.workflows.results.pictures import legend_ends, scale_bar_mm
from napari_aln.workflows.results.top_patches import MAX_SIDE_PX, top_patches
from napari_aln.workflows.review.steps import predict_file, save_review
from napari_aln.workflows.slide.maps import MAP_STYLES, colour_limits, from_the_top

PATIENT = Clinical(age_years=61, tumor_size_cm=2.4, er=True, pr=False, her2=False)


@pytest.fixture
def slide(tissue_slide):
    with open_slide(tissue_slide) as opened:
        yield opened


@pytest.fixture(scope="module")
def both_modes(tissue_slide, roi_bundle, ws_bundle, roi_file, tmp_path_factory):
    """Run both modes once, with settings of their own; return result and folder."""
    settings = PredictSettings(
        bags=BagSettings(seed=7, partitions=2), patches=PatchSettings(min_roi_share=0.5)
    )
    bundles = [open_bundle(path) for path in (roi_bundle, ws_bundle)]
    request = Request(bundles, regions=roi_file, clinical=PATIENT, settings=settings)
    with open_slide(tissue_slide) as opened:
        return drain(predict_to_folder(opened, request, tmp_path_factory.mktemp("out")))


def words_of(place) -> str:
    """Return the report's text without its pictures."""
    text = (place / "report.html").read_text(encoding="utf-8")
    return html.unescape(re.sub(r"base64,[A-Za-z0-9+/=]+", "", text))


def test_the_report_states_values_fillings_and_warnings(slide, make_bundle, tmp_path):
    name = "<script>alert(1)</script>"
    bundle = open_bundle(make_bundle("dlcnbc-ws", name=name))
    request = Request(
        [bundle], clinical=Clinical(age_years=61, er=True), settings=PredictSettings(fill_clinical=True)
    )
    _, place = drain(predict_to_folder(slide, request, tmp_path))
    report = (place / "report.html").read_text(encoding="utf-8")
    for words in ("age: 61 years", "ER +", "PR: unknown", "filled from the training cohort", "tumor_size_cm"):
        assert words in report
    assert name not in report  # a card's text is text
    assert "&lt;script&gt;" in report
    assert "No tumour ROI was drawn" in report
    assert "<h2>Comparison" not in report


def test_the_report_shows_cards_and_comparison(slide, make_bundle, roi_file, tmp_path):
    cohort = TrainingCohort(name="Beijing", n_patients=840, n_per_class={"N0": 500, "N(+)": 340})
    metric = Metric(name="AUC", value=0.8123, low=0.75, high=0.87, n=210, cohort="test")
    said = {"training_cohort": cohort, "metrics": (metric,), "licence": "CC-BY-4.0", "intended_use": "Study."}
    bundles = [open_bundle(make_bundle(mode, **said)) for mode in ("dlcnbc", "dlcnbc-ws")]
    request = Request(bundles, regions=roi_file, clinical=PATIENT)
    _, place = drain(predict_to_folder(slide, request, tmp_path))
    report = words_of(place)
    for words in (
        "Beijing, 840 patients (N0: 500, N(+): 340)",
        "AUC 0.812 (0.750 to 0.870), test, n = 210",
        "CC-BY-4.0",
        "Study.",
        bundles[0].sha256,
        "Attention inside the ROI",
        "Spearman's rho",
    ):
        assert words in report
    head = report.split("<h2>")[0]
    assert "Research use only. Not a diagnosis." in head
    for section in ("Result", "Maps", "Comparison", "Top patches"):  # wherever there are numbers
        assert "Research use only" in report.split(f"<h2>{section}")[1].split("</section>")[0]
    assert "http" not in re.sub(r"data:\S+", "", report)  # nothing is fetched


def test_a_comparison_that_is_undefined_says_why(slide, make_bundle, roi_file, tmp_path):
    three = open_bundle(make_bundle("dlcnbc-ws", classes=("N0", "N(1-2)", "N(>2)")))
    bundles = [open_bundle(make_bundle("dlcnbc", seed=1)), three]
    request = Request(bundles, regions=roi_file, clinical=PATIENT)
    report = words_of(drain(predict_to_folder(slide, request, tmp_path))[1])
    assert "not defined" in report
    assert "The two models tell different classes apart." in report


def test_the_commands_in_the_report_give_the_same_numbers(
    both_modes, tissue_slide, roi_bundle, ws_bundle, tmp_path
):
    result, place = both_modes
    commands = re.findall(r"<pre>(napari-aln predict .*?)</pre>", words_of(place))
    assert len(commands) == 2
    for command, bundle, run in zip(commands, (roi_bundle, ws_bundle), result.runs, strict=True):
        stands_for = {
            "SLIDE": str(tissue_slide),
            "--model=MODEL": f"--model={bundle}",
            "--out=OUT": f"--out={tmp_path / run.run}",
            "--roi=regions.geojson": f"--roi={place / 'regions.geojson'}",
        }
        words = [stands_for.get(word, word) for word in shlex.split(command)[1:]]
        answer = CliRunner().invoke(app, words)
        assert answer.exit_code == 0, answer.output
        again = read_document(tmp_path / run.run / "case_1").runs[0]
        assert again.probabilities == run.probabilities
        assert again.settings["patches"] == run.settings["patches"]
        assert again.clinical == run.clinical


def test_the_report_names_no_file_and_reads_no_label(
    tissue_slide, roi_bundle, ws_bundle, roi_file, tmp_path, monkeypatch
):
    folder = tmp_path / "SMITH_JANE"
    folder.mkdir()
    roi_text = roi_file.read_text()
    feature = f'{{"type": "Feature", "geometry": {roi_text}, "properties": {{"name": "Jane left"}}}}'
    (folder / "Doe_John.geojson").write_text(feature)
    copied = shutil.copy(tissue_slide, folder / "B-4711.tif")
    bundles = [open_bundle(shutil.copy(p, folder / f"for-{p.name}")) for p in (roi_bundle, ws_bundle)]
    request = Request(bundles, regions=folder / "Doe_John.geojson", clinical=PATIENT)
    with open_slide(copied) as opened:
        monkeypatch.setattr(type(opened), "associated_image", None)
        _, place = drain(predict_to_folder(opened, request, tmp_path / "out"))
    report = (place / "report.html").read_text(encoding="utf-8")
    assert len(report) < 6e6
    for name in ("SMITH_JANE", "Doe_John", "B-4711", "Jane left", "for-", str(tmp_path)):
        assert name not in report


def test_top_patches_are_the_slides_own_pixels(both_modes, slide):
    scores = both_modes[0].scores["dlcnbc-ws"]
    found = top_patches(slide, slide.info.mpp, scores, "attention_slide", n=3)
    order = from_the_top(scores.attention_slide)[:3]
    np.testing.assert_array_equal([p.l0_xy for p in found], scores.table.l0_xy[order])
    for patch, at in zip(found, order, strict=True):
        x, y = (int(v) for v in patch.l0_xy)
        np.testing.assert_array_equal(patch.rgb, slide.read_level(0, (x, y), (256, 256)))
        assert patch.attention == scores.attention_slide[at]
        assert patch.corner_um == (x * 0.5, y * 0.5)
        assert patch.side_um == (128, 128)
        assert patch.shown_mpp == 0.5
    coarse = replace(
        scores, table=replace(scores.table, grid=replace(scores.table.grid, step_l0=(1024, 1024)))
    )
    large = top_patches(slide, slide.info.mpp, coarse, "attention_slide", n=1)[0]
    assert max(large.rgb.shape) == MAX_SIDE_PX
    assert large.shown_mpp == 1.0  # 1024 px at 0.5 µm/px, shown in 512


def test_results_of_one_slide_are_saved_as_one(slide, roi_bundle, ws_bundle, roi_file, both_modes, tmp_path):
    bundles = [open_bundle(path) for path in (roi_bundle, ws_bundle)]
    first = drain(predict_file(slide.info, Request([bundles[1]], clinical=PATIENT), None))
    second = drain(predict_file(slide.info, Request([bundles[0]], regions=roi_file, clinical=PATIENT), None))
    assert not first.scores["dlcnbc-ws"].in_roi.any()
    cards = {bundle.card.mode: bundle.card for bundle in bundles}
    place = drain(save_review(slide.info, [first, second], cards, tmp_path))
    assert place.name == first.alias  # private unless told otherwise
    document = read_document(place)
    assert document.slide.file is None
    assert {run.run: run.probabilities for run in document.runs} == {
        "dlcnbc": second.runs[0].probabilities,
        "dlcnbc-ws": first.runs[0].probabilities,
    }
    assert "Attention inside the ROI" in words_of(place)
    one = joined([first, second])
    whole, inside = one.scores["dlcnbc-ws"], one.scores["dlcnbc"]
    np.testing.assert_array_equal(
        np.isin(whole.table.cell, inside.table.cell), whole.in_roi
    )  # told anew: the whole slide was run before there was a ROI
    elsewhere = replace(
        second,
        runs=(replace(second.runs[0], run="dlcnb", mode="dlcnb"),),
        scores={"dlcnb": inside},
        regions=(Region(shapely.box(0, 0, 900, 900)),),
    )
    with pytest.raises(UsageError, match="different ROIs"):
        joined([second, elsewhere])
    other = replace(first, slide=replace(first.slide, quick_hash="another"))
    with pytest.raises(ValueError, match="one slide"):
        joined([other, second])


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


@pytest.mark.parametrize(
    ("width_mm", "length_mm"), [(2.976, 0.5), (10.0, 2.0), (23.0, 2.0), (60.0, 10.0), (0.4, 0.05)]
)
def test_scale_bars_are_round_and_fit(width_mm, length_mm):
    assert scale_bar_mm(width_mm) == pytest.approx(length_mm)


def test_legends_say_where_values_lie_beyond():
    assert legend_ends(MAP_STYLES["attention_slide"], (0.0, 2.039)) == ("0", "≥ 2.04")
    assert legend_ends(MAP_STYLES["contribution"], (-0.5, 0.5)) == ("≤ −0.5", "≥ 0.5")
    assert legend_ends(MAP_STYLES["probability"], (0.0, 1.0)) == ("0", "1")
