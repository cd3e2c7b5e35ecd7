import pytest
from qtpy.QtCore import Qt
from widget_records import all_texts, child

from napari_aln.records import ATTENTION_NOTICE, RESEARCH_NOTICE
from napari_aln.widgets.panels.map_panel import MapPanel

RUNS = [("dlcnbc-ws", "DLCNBC-WS"), ("dlcnbc", "DLCNBC")]
MAPS = ["attention_slide", "contribution", "probability", "entropy"]


@pytest.fixture
def panel(qtbot):
    panel = MapPanel()
    qtbot.addWidget(panel)
    panel.resize(320, 500)
    panel.show()
    return panel


@pytest.fixture
def filled(panel):
    panel.set_runs(RUNS, MAPS)
    panel.set_mask_available(True)
    return panel


def test_without_runs_it_says_so_and_offers_nothing(panel):
    assert child(panel, "map_empty").isVisible()
    for name in ("map_run", "map_name", "map_opacity", "mask_visible"):
        assert not child(panel, name).isVisible(), name


def test_choosing_by_keys_names_run_and_map(filled, qtbot):
    combo = child(filled, "map_name")
    combo.setFocus()
    with qtbot.waitSignal(filled.map_changed) as told:
        qtbot.keyClick(combo, Qt.Key.Key_Down)
    assert told.args == ["dlcnbc-ws", "contribution"]
    run = child(filled, "map_run")
    run.setFocus()
    with qtbot.waitSignal(filled.map_changed) as told:
        qtbot.keyClick(run, Qt.Key.Key_Down)
    assert told.args == ["dlcnbc", "contribution"]


def test_maps_bear_the_names_of_the_legend(filled):
    combo = child(filled, "map_name")
    assert combo.itemText(0) == "Attention over the slide"
    assert combo.itemText(1) == "Contribution to N(+)"


def test_what_is_set_is_not_told_back(filled, qtbot):
    signals = (filled.map_changed, filled.opacity_changed, filled.visible_changed, filled.colour_map_changed)
    told = []
    for signal in signals:
        signal.connect(lambda *args: told.append(args))
    filled.set_current("dlcnbc", "entropy")
    filled.set_opacity(0.3)
    filled.set_visible(False)
    filled.set_legend("entropy", "bits", (4.0, 8.0), "magma", "a model", "max")
    filled.set_runs(RUNS, MAPS)
    assert told == []
    assert filled.current() == ("dlcnbc", "entropy")
    assert child(filled, "map_opacity").value() == 30
    assert child(filled, "map_colours").currentText() == "magma"


def test_the_choice_survives_new_runs_and_falls_back_without_them(filled):
    filled.set_current("dlcnbc", "entropy")
    filled.set_runs(RUNS[::-1], MAPS)
    assert filled.current() == ("dlcnbc", "entropy")
    filled.set_runs(RUNS[:1], MAPS[:1])
    assert filled.current() == ("dlcnbc-ws", "attention_slide")
    filled.set_runs((), (), withheld=True)
    assert "withheld" in child(filled, "map_empty").shown_text()
    filled.set_runs((), ())
    assert filled.current() is None


def test_opacity_and_visibility_are_told(filled, qtbot):
    slider = child(filled, "map_opacity")
    filled.set_opacity(0.5)
    slider.setFocus()
    with qtbot.waitSignal(filled.opacity_changed) as told:
        qtbot.keyClick(slider, Qt.Key.Key_PageUp)
    assert told.args == [pytest.approx(0.6)]
    assert "60 %" in all_texts(filled)
    box = child(filled, "map_visible")
    with qtbot.waitSignal(filled.visible_changed) as told:
        qtbot.keyClick(box, Qt.Key.Key_Space)
    assert told.args == [False]


def test_attention_says_what_it_is_not(filled):
    filled.set_current("dlcnbc", "attention_slide")
    notice = child(filled, "map_notice")
    assert notice.shown_text() == f"{ATTENTION_NOTICE} {RESEARCH_NOTICE}"
    filled.set_current("dlcnbc", "probability")
    assert notice.shown_text() == RESEARCH_NOTICE


def test_legend_names_quantity_unit_and_model(filled):
    filled.set_legend("contribution to N(+)", "log-odds", (-1.0, 1.0), "PuOr_r", "a model", "both")
    assert child(filled, "map_quantity").shown_text() == "contribution to N(+) (log-odds)"
    assert child(filled, "map_model").shown_text() == "a model"


@pytest.mark.parametrize(("value", "text"), [(2.3142, "2.31"), (-0.00412, "−0.00412"), (None, "no patch")])
def test_value_under_the_cursor(filled, value, text):
    filled.set_cursor_value(value)
    assert child(filled, "map_cursor_value").text() == f"At the cursor: {text}"


def test_colours_are_asked_for_by_name(filled, qtbot):
    combo = child(filled, "map_colours")
    combo.setFocus()
    with qtbot.waitSignal(filled.colour_map_changed) as told:
        qtbot.keyClick(combo, Qt.Key.Key_Down)
    assert told.args == ["cividis"]


def test_mask_controls(filled, qtbot):
    with qtbot.waitSignal(filled.mask_visible_changed) as told:
        qtbot.keyClick(child(filled, "mask_visible"), Qt.Key.Key_Space)
    assert told.args == [True]
    edit = child(filled, "mask_edit")
    with qtbot.waitSignal(filled.mask_edit_requested) as told:
        qtbot.mouseClick(edit, Qt.MouseButton.LeftButton)
    assert told.args == [True]
    assert "erases" in child(filled, "mask_hint").shown_text()
    with qtbot.assertNotEmitted(filled.mask_edit_requested):
        filled.set_mask_editing(False)
    assert child(filled, "mask_hint").shown_text() == ""
    assert not edit.isChecked()
    with qtbot.waitSignal(filled.mask_reset_requested):
        qtbot.mouseClick(child(filled, "mask_reset"), Qt.MouseButton.LeftButton)


def test_fits_a_narrow_dock(filled):
    filled.set_legend(filled.map_combo.itemText(2), "0 to 1", (0.0, 1.0), "viridis", 30 * "model", "neither")
    assert filled.minimumSizeHint().width() <= 300


def test_scaling_and_threshold_are_asked_for_by_keys_and_shown_without_asking(filled, qtbot):
    combo = child(filled, "map_scaling")
    combo.setFocus()
    with qtbot.waitSignal(filled.scaling_changed) as told:
        qtbot.keyClick(combo, Qt.Key.Key_Down)
    assert told.args == ["rank"]
    slider = child(filled, "map_threshold")
    slider.setFocus()
    with qtbot.waitSignal(filled.threshold_changed) as told:
        qtbot.keyClick(slider, Qt.Key.Key_PageUp)
    assert told.args == [pytest.approx(0.1)]
    with qtbot.assertNotEmitted(filled.scaling_changed), qtbot.assertNotEmitted(filled.threshold_changed):
        filled.set_scaling("min-max")
        filled.set_threshold(0.25)
    assert combo.currentText() == "Min-max of the patches shown"
    assert "25 %" in all_texts(filled)


def test_scaling_and_threshold_stand_in_the_legend_and_a_map_that_is_none_says_why(filled):
    style = ("attention over the slide", "0 to 1", (0.0, 1.0), "viridis", "a model")
    filled.set_legend(*style, how="rank among the patches shown, from 0.5")
    shown = child(filled, "map_quantity").shown_text()
    assert shown == "attention over the slide (0 to 1), rank among the patches shown, from 0.5"
    filled.set_nothing("No difference map.")
    assert child(filled, "map_quantity").shown_text() == "No difference map."
    assert child(filled, "map_legend").accessibleName() == "No map"
