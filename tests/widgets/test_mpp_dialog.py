import pytest
from qtpy.QtCore import Qt
from widget_records import LONG_NAME, all_texts, child

from napari_aln.widgets.panels.mpp_dialog import MppDialog


@pytest.fixture
def dialog(qtbot):
    dialog = MppDialog("case 7", ["2048 × 1536 px"])
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, False)  # so that it can be looked at afterwards
    qtbot.addWidget(dialog)
    dialog.open()
    return dialog


@pytest.mark.parametrize(("typed", "mpp"), [("0.5", 0.5), ("0,5", 0.5), (" 0.05", 0.05), ("20", 20.0)])
def test_a_possible_value_is_handed_up(dialog, qtbot, typed, mpp):
    line = child(dialog, "mpp_value")
    qtbot.keyClicks(line, typed)
    with qtbot.waitSignal(dialog.mpp_given) as told:
        qtbot.keyClick(line, Qt.Key.Key_Return)
    assert told.args == [mpp]
    assert not dialog.isVisible()


@pytest.mark.parametrize(
    "typed", ["300", "0", "-0.5", "0.04", "20.1", "nan", "inf", "20x", "0.5 µm", "0.2,5"]
)
def test_an_impossible_value_is_refused_and_said_to_be(dialog, qtbot, typed):
    line = child(dialog, "mpp_value")
    qtbot.keyClicks(line, typed)
    with qtbot.assertNotEmitted(dialog.mpp_given):
        qtbot.keyClick(line, Qt.Key.Key_Return)
        qtbot.mouseClick(dialog.ok_button, Qt.MouseButton.LeftButton)
        dialog.accept()  # as a platform's own key would
    assert dialog.isVisible()
    assert "0.05 to 20 µm/px" in child(dialog, "mpp_problem").shown_text()


def test_nothing_is_prefilled(dialog):
    assert child(dialog, "mpp_value").text() == ""
    assert not dialog.ok_button.isEnabled()
    assert child(dialog, "mpp_problem").isHidden()


def test_escape_gives_nothing(dialog, qtbot):
    qtbot.keyClicks(child(dialog, "mpp_value"), "0.5")
    with qtbot.assertNotEmitted(dialog.mpp_given):
        qtbot.keyClick(dialog, Qt.Key.Key_Escape)
    assert not dialog.isVisible()


def test_says_what_is_known_and_where_to_find_the_rest(dialog):
    texts = all_texts(dialog)
    for part in (
        "case 7",
        "2048 × 1536 px",
        "never guesses",
        "remembered for this slide",
        "scanner's protocol",
    ):
        assert part in texts
    assert dialog.windowModality() == Qt.WindowModality.WindowModal


def test_long_name_widens_nothing(qtbot):
    dialog = MppDialog(LONG_NAME, [])
    qtbot.addWidget(dialog)
    assert dialog.minimumSizeHint().width() <= 400
