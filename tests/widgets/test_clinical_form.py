import pytest
from qtpy.QtCore import Qt
from widget_records import child

from napari_aln.records import Clinical
from napari_aln.widgets.panels.clinical_form import ClinicalForm


@pytest.fixture
def form(qtbot):
    form = ClinicalForm()
    qtbot.addWidget(form)
    form.show()
    return form


def press(qtbot, button):
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton, pos=button.rect().center() / 2)


def test_nothing_is_known_at_first(form):
    assert form.clinical() == Clinical()
    assert form.problem() is None


def test_values_are_read_as_typed_and_clicked(form, qtbot):
    qtbot.keyClicks(child(form, "clinical_age"), "57")
    qtbot.keyClicks(child(form, "clinical_tumor_size"), "2,3")
    press(qtbot, child(form, "clinical_er_positive"))
    press(qtbot, child(form, "clinical_her2_negative"))
    assert form.clinical() == Clinical(57.0, 2.3, er=True, pr=None, her2=False)
    press(qtbot, child(form, "clinical_er_unknown"))
    assert form.clinical().er is None


def test_each_change_is_told_once(form, qtbot):
    told = []
    form.changed.connect(lambda: told.append(form.clinical()))
    qtbot.keyClicks(child(form, "clinical_age"), "5")
    press(qtbot, child(form, "clinical_pr_positive"))
    assert told == [Clinical(5.0), Clinical(5.0, pr=True)]


@pytest.mark.parametrize("typed", ["0", "-3", "570", "abc", "nan", "inf", "5 7"])
def test_an_impossible_age_is_unknown_and_says_why(form, qtbot, typed):
    qtbot.keyClicks(child(form, "clinical_age"), typed)
    assert form.clinical().age_years is None
    assert "120 years" in form.problem()
    note = child(form, "clinical_age_problem")
    assert note.isVisible()
    assert note.shown_text() == form.problem()
    child(form, "clinical_age").clear()
    assert form.problem() is None
    assert not note.isVisible()


def test_limits_themselves_are_possible(form, qtbot):
    qtbot.keyClicks(child(form, "clinical_age"), "120")
    qtbot.keyClicks(child(form, "clinical_tumor_size"), "30")
    assert form.problem() is None
    qtbot.keyClicks(child(form, "clinical_tumor_size"), ".1")
    assert "30 cm" in form.problem()


@pytest.mark.parametrize("clinical", [Clinical(), Clinical(61.5, 0.7, False, True, None)])
def test_shown_values_come_back_and_are_no_change(form, qtbot, clinical):
    form.set_clinical(Clinical(40, 4, True, True, True))
    with qtbot.assertNotEmitted(form.changed):
        form.set_clinical(clinical)
    assert form.clinical() == clinical


def test_none_forgets_all(form):
    form.set_clinical(Clinical(40, 4, True, True, True))
    form.set_clinical(None)
    assert form.clinical() == Clinical()


def test_fits_a_narrow_dock(form, qtbot):
    qtbot.keyClicks(child(form, "clinical_age"), "570")
    assert form.minimumSizeHint().width() <= 300
