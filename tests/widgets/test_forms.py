from typing import Literal

import pytest
from pydantic import BaseModel, Field
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QApplication
from widget_records import child

from napari_aln.settings.engine import EngineSettings
from napari_aln.settings.patches import PatchSettings
from napari_aln.settings.prediction import BagSettings, PredictSettings
from napari_aln.widgets.panels.forms import SettingsForm


@pytest.fixture
def make_form(qtbot):
    def make(settings):
        form = SettingsForm(settings)
        qtbot.addWidget(form)
        form.show()
        return form

    return make


def type_into(qtbot, control, text):
    control.setFocus()
    control.selectAll()
    qtbot.keyClicks(control, text)
    qtbot.keyClick(control, Qt.Key.Key_Tab)


@pytest.mark.parametrize("settings", [PatchSettings(), BagSettings(), EngineSettings(), PredictSettings()])
def test_untouched_form_gives_the_defaults_and_chooses_nothing(make_form, settings):
    values = make_form(settings).values()
    assert values == settings
    assert values.model_fields_set == set()


def test_only_what_the_user_touched_is_chosen(make_form, qtbot):
    form = make_form(PatchSettings())
    with qtbot.waitSignal(form.changed):
        type_into(qtbot, form.editor("min_entropy_bits"), "4.5")
    assert form.values().min_entropy_bits == 4.5
    assert form.values().model_fields_set == {"min_entropy_bits"}


def test_comma_is_a_point(make_form, qtbot):
    form = make_form(PatchSettings())
    type_into(qtbot, form.editor("min_roi_share"), "0,5")
    assert form.values().min_roi_share == 0.5


def test_bounds_come_from_the_settings(make_form, qtbot):
    form = make_form(PatchSettings())
    share, roi_share = form.editor("min_tissue_share"), form.editor("min_roi_share")
    assert (share.minimum(), share.maximum()) == (0.0, 1.0)
    assert 0 < roi_share.minimum() < 0.001  # must be above 0
    type_into(qtbot, share, "7")
    assert 0 <= form.values().min_tissue_share <= 1


def test_title_unit_and_help_come_from_the_settings(make_form):
    form = make_form(PatchSettings())
    entropy = form.editor("min_entropy_bits")
    assert entropy.accessibleName() == "Smallest entropy"
    assert entropy.text() == "5 bits"
    assert "Shannon entropy" in entropy.toolTip()


def test_left_out_number_is_automatic_until_given(make_form, qtbot):
    form = make_form(BagSettings())
    partitions = form.editor("partitions")
    assert partitions.text() == "automatic"
    partitions.setFocus()
    qtbot.keyClick(partitions, Qt.Key.Key_Up)
    assert form.values().partitions == 1
    qtbot.keyClick(partitions, Qt.Key.Key_Down)
    assert form.values().partitions is None
    assert partitions.maximum() == 1000


def test_choice_and_switch(make_form, qtbot):
    form = make_form(PredictSettings())
    device = child(form, "setting_device")
    assert [device.itemText(i) for i in range(device.count())] == ["auto", "cpu", "cuda"]
    device.setFocus()
    qtbot.keyClicks(device, "cpu")
    qtbot.mouseClick(child(form, "setting_fill_clinical"), Qt.MouseButton.LeftButton, pos=QPoint(8, 8))
    values = form.values()
    assert values.engine.device == "cpu"
    assert values.engine.model_fields_set == {"device"}
    assert values.fill_clinical is True
    assert values.model_fields_set == {"engine", "fill_clinical"}


def test_settings_given_at_first_stay_chosen(make_form):
    values = make_form(PredictSettings(bags=BagSettings(seed=7))).values()
    assert values.bags.seed == 7
    assert values.bags.model_fields_set == {"seed"}


def test_back_to_the_defaults(make_form, qtbot):
    form = make_form(PredictSettings())
    reset = form.reset_button
    assert not reset.isEnabled()
    type_into(qtbot, child(form, "setting_seed"), "12")
    assert form.values().bags.seed == 12
    qtbot.mouseClick(reset, Qt.MouseButton.LeftButton)
    assert form.values().model_fields_set == set()
    assert child(form, "setting_seed").value() == 0
    assert not reset.isEnabled()


def test_scrolling_over_a_number_changes_nothing_unless_it_was_chosen(make_form, qtbot):
    form = make_form(BagSettings())
    seed = form.editor("seed")
    form.reset_button.setFocus()
    seed.clearFocus()

    def scroll():
        where = QPointF(seed.rect().center())
        event = QWheelEvent(
            where,
            QPointF(seed.mapToGlobal(seed.rect().center())),
            QPoint(),
            QPoint(0, 120),
            Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.NoModifier,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        )
        QApplication.sendEvent(seed, event)

    scroll()
    assert seed.value() == 0
    form.activateWindow()
    qtbot.waitUntil(form.isActiveWindow)
    seed.setFocus()
    scroll()
    assert seed.value() == 1


class _Odd(BaseModel):
    choice: Literal["a", "b"] = "b"
    pair: tuple[int, int] = Field((1, 2), title="Pair")


def test_a_type_without_a_control_is_named(qtbot):
    with pytest.raises(TypeError, match="pair"):
        SettingsForm(_Odd())
