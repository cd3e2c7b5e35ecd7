import numpy as np
import pytest
import shapely
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QPushButton, QSlider
from widget_records import all_texts, child, run_record

from napari_aln.records import RESEARCH_NOTICE, Region
from napari_aln.widgets.panels.compare_panel import MINUS, ComparePanel
from napari_aln.workflows.slide.compare import Comparison, compare

REGION = (Region(shapely.box(700, 500, 2100, 1500)),)
RECORDS = (run_record("dlcnbc"), run_record("dlcnbc-ws"))


def comparison(**changes):
    fields = {
        "runs": ("dlcnbc", "dlcnbc-ws"),
        "map_name": "attention_slide",
        "probability_difference": {"N0": -0.25, "N(+)": 0.25},
        "attention_in_roi": 0.3,
        "patches_in_roi": 0.2,
        "n_shared": 1200,
        "n_only_first": 0,
        "n_only_second": 34,
        "top_k": 50,
        "top_overlap": 0.25,
        "rank_correlation": -0.123,
        "shared": None,
        "reasons": {},
    }
    return Comparison(**(fields | changes))


@pytest.fixture
def panel(qtbot):
    panel = ComparePanel()
    qtbot.addWidget(panel)
    panel.resize(340, 400)
    panel.show()
    return panel


def text(panel, name):
    return child(panel, f"compare_{name}").shown_text()


def layer_data(hands):
    return hands.viewer.layers["map"].data


def test_numbers_are_said_with_their_units_and_signs(panel):
    panel.set_comparison(comparison(), RECORDS)
    assert text(panel, "title") == f"DLCNBC, inside the ROI {MINUS} DLCNBC-WS, whole slide"
    assert text(panel, "probability") == f"N0 {MINUS}0.250\nN(+) +0.250"
    assert text(panel, "inside") == "30.0 %, on 20.0 % of the patches (1.5x)"
    assert text(panel, "overlap") == "Jaccard 0.25"
    assert "Top 50 in both" in all_texts(panel)
    assert text(panel, "correlation") == f"Spearman {MINUS}0.12, n = 1\u202f200 shared"
    assert text(panel, "patches") == "1\u202f200 shared, 0 only in the ROI's run, 34 only in the slide's"
    assert RESEARCH_NOTICE in all_texts(panel)
    assert not child(panel, "compare_stale").isVisible()


def test_what_is_undefined_says_why(panel):
    undefined = {
        "probability_difference": None,
        "attention_in_roi": None,
        "patches_in_roi": None,
        "n_shared": None,
        "top_k": None,
        "top_overlap": None,
        "rank_correlation": None,
    }
    reasons = {name: f"Because of {name}." for name in undefined}
    panel.set_comparison(comparison(**undefined, reasons=reasons), RECORDS)
    for name in ("probability", "inside", "overlap", "correlation", "patches"):
        assert text(panel, name) == "undefined"
        assert child(panel, f"compare_{name}_reason").isVisible()
    assert text(panel, "correlation_reason") == "Because of rank_correlation."
    panel.set_comparison(comparison(), RECORDS)
    assert not child(panel, "compare_correlation_reason").isVisible()


def test_every_number_is_explained_in_one_line_of_plain_words(panel):
    for name in ("probability", "inside", "overlap", "correlation", "patches"):
        assert len(child(panel, f"compare_{name}").toolTip()) > 40, name


def test_buttons_ask_and_showing_their_state_does_not(panel, qtbot):
    for name, signal, show in (
        ("difference", panel.difference_toggled, panel.set_difference),
        ("split", panel.split_toggled, panel.set_split),
    ):
        button = child(panel, f"compare_{name}")
        with qtbot.waitSignal(signal) as told:
            qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
        assert told.args == [True]
        with qtbot.assertNotEmitted(signal):
            show(False)
        assert not button.isChecked()


def test_fits_a_narrow_dock(panel):
    panel.set_comparison(comparison(), RECORDS)
    assert panel.minimumSizeHint().width() <= 330


@pytest.mark.slow
def test_in_the_window_the_numbers_follow_runs_map_and_roi(hands, tissue_slide, ws_bundle, roi_bundle):
    panel, section = hands.dock.compare, hands.dock.sections["Comparison"]
    hands.drop(tissue_slide, roi_bundle, ws_bundle)
    hands.until(lambda: hands.state.seen is not None and len(hands.state.bundles) == 2)
    hands.fill_patient()
    hands.draw([(700, 500), (2100, 500), (2100, 1500), (700, 1500)])
    hands.run("whole-slide")
    assert not section.isVisible()
    hands.run("roi")
    hands.until(section.isVisible)

    def expected(name):
        answers = [hands.state.answers[run] for run in ("dlcnbc", "dlcnbc-ws")]
        pairs = [(hands.state.record_of(a.record.run), hands.state.scores_of(a.record.run)) for a in answers]
        return compare(*pairs, hands.state.regions, map_name=name)

    def says(name):
        c = expected(name)
        sign = "+" if c.probability_difference["N(+)"] >= 0 else MINUS
        return (
            f"{sign}{abs(c.probability_difference['N(+)']):.3f}" in text(panel, "probability")
            and f"{c.top_overlap:.2f}" in text(panel, "overlap")
            and f"n = {c.n_shared} shared" in text(panel, "correlation")
            and f"{c.attention_in_roi * 100:.1f} %" in text(panel, "inside")
        )

    shown = hands.state.shown[1]
    hands.until(lambda: says(shown))
    hands.click(hands.part(QPushButton, "compare_difference"))
    layer = hands.viewer.layers["map"]
    c = expected(shown)
    assert np.isfinite(layer.data).sum() == c.n_shared
    low, high = layer.contrast_limits
    assert low == -high
    assert layer.colormap.name == "PuOr_r"
    assert hands.dock.map.quantity.shown_text().startswith("difference of ")
    combo = hands.part(QComboBox, "map_name")
    combo.setFocus()
    hands.qtbot.keyClick(combo, Qt.Key.Key_End)  # entropy: of the pixels
    assert "map" not in [each.name for each in hands.viewer.layers]
    assert "No difference" in hands.dock.map.quantity.shown_text()
    hands.qtbot.keyClick(combo, Qt.Key.Key_Up)
    assert "map" in [each.name for each in hands.viewer.layers]
    hands.until(lambda: says(hands.state.shown[1]))
    before = text(panel, "patches")
    hands.draw([(2300, 1700), (2700, 1700), (2700, 2100), (2300, 2100)])  # one more: asked again, live
    hands.until(lambda: hands.state.live["dlcnbc"] is not None and says(hands.state.shown[1]))
    hands.until(lambda: text(panel, "patches") != before and panel.live_note.isVisible())
    hands.click(hands.part(QPushButton, "compare_difference"))
    assert not hands.state.difference
    assert hands.viewer.layers["map"].colormap.name != "PuOr_r" or "contribution" in hands.state.shown[1]
    everything = np.isfinite(layer_data(hands)).sum()
    scaling = hands.part(QComboBox, "map_scaling")
    scaling.setFocus()
    hands.qtbot.keyClick(scaling, Qt.Key.Key_Down)
    assert (np.nanmin(layer_data(hands)), np.nanmax(layer_data(hands))) == (0, 1)
    slider = hands.part(QSlider, "map_threshold")
    slider.setFocus()
    for _ in range(5):
        hands.qtbot.keyClick(slider, Qt.Key.Key_PageUp)
    assert 0 < np.isfinite(layer_data(hands)).sum() < everything
    assert np.nanmin(layer_data(hands)) >= 0.5
    assert "rank among the patches shown, from 0.5" in hands.dock.map.quantity.shown_text()
