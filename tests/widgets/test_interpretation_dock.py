"""The dock of an interpretation: its panel with a stand-in for the review, and once in a window."""

import numpy as np
import pytest
from qtpy.QtCore import QObject, QPoint, QPointF, Qt, Signal
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication, QComboBox, QDockWidget, QToolButton, QToolTip
from widget_records import child, slide_info

from napari_aln.nuclei.slide_features import PAPER_FEATURES, SLIDE_FEATURES
from napari_aln.records import RESEARCH_NOTICE
from napari_aln.slides import open_slide
from napari_aln.widgets.interpretation import ASK, NOT_AMONG, InterpretationView
from napari_aln.widgets.jobs import Job
from napari_aln.workflows.interpretation.slide_weights import SLIDES_NAME, InterpretedSlide, write_slides


def interpreted(number, slide_hash="abc"):
    positive = number % 2 == 1
    rng = np.random.default_rng(number)
    weight = rng.random(8)
    return InterpretedSlide(
        f"Jane Doe {number}",
        ("train", "val", "test", "test")[number % 4],
        positive,
        slide_hash if number == 3 else f"other {number}",
        0.7 if positive else 0.2,
        12,
        1500 + number,
        {
            f.name: float("nan") if f.name == "nearest_um" else 50 - 9 * positive + rng.random()
            for f in SLIDE_FEATURES
        },
        dict(zip((f.name for f in PAPER_FEATURES), weight / weight.sum(), strict=True)),
    )


def written(folder, slide_hash="abc"):
    write_slides([interpreted(number, slide_hash) for number in range(12)], folder / SLIDES_NAME)
    return folder / SLIDES_NAME


class State(QObject):
    slide_changed = Signal()
    answers_changed = Signal()

    def __init__(self):
        super().__init__()
        self.slide, self.hide_names = None, False
        self.reason, self.noted = "", 0

    def gate(self, showing):
        self.noted += showing
        return self.reason


class Opened:
    def __init__(self, quick_hash):
        self.info = slide_info(quick_hash=quick_hash)


class StandIn(QObject):
    """As much of a review as the dock needs."""

    def __init__(self):
        super().__init__()
        self.state, self.jobs, self.errors = State(), [], []

    def new_job(self, name, on_done):
        job = Job(name, self)
        job.done.connect(on_done)
        job.failed.connect(self.on_error)
        self.jobs.append(job)
        return job

    def on_error(self, error):
        self.errors.append(error)


@pytest.fixture
def view(qtbot):
    review = StandIn()
    view = InterpretationView(review)
    qtbot.addWidget(view)
    view.resize(340, 760)
    view.show()
    yield view
    for job in review.jobs:
        job.close()


def type_path(view, qtbot, path):
    line = view.panel.file.line
    line.setFocus()
    line.selectAll()
    qtbot.keyClicks(line, str(path))


def told(view, name):
    return child(view, name).shown_text()


def test_a_slide_of_the_cohort_stands_beside_it(view, qtbot, tmp_path):
    assert told(view, "interpretation_cohort") == ASK
    assert not view.panel.plot.isVisible()
    assert not view.panel.slide_box.isEnabled()
    view.review.state.slide = Opened("abc")
    type_path(view, qtbot, written(tmp_path))
    qtbot.waitUntil(view.panel.plot.isVisible)
    assert told(view, "interpretation_cohort") == (
        "6 patients N0, 6 N(+). AUC of the weighing network, test: 1.000 [0.541, 1.000]."
    )
    assert told(view, "interpretation_found") == (
        "Probability of N(+) 0.70, labelled N(+) (test). 1\u202f503 nuclei of 12 patches."
    )
    assert view.panel.slide_box.currentText() == "Jane Doe 3"
    said = view.panel.plot.accessibleName()
    assert said.count("This slide: ") == 8
    assert "Area\nThis slide: 41." in said
    assert "N0: median 50." in said
    assert "p = 0.0022" in said  # six against six, none between: 2 of 924
    assert child(view, "interpretation_notice").text() == RESEARCH_NOTICE


def test_keys_choose_another_slide_and_the_cohort_alone(view, qtbot, tmp_path):
    type_path(view, qtbot, written(tmp_path))
    qtbot.waitUntil(view.panel.plot.isVisible)
    box = view.panel.slide_box
    assert box.currentText() == "Cohort alone"
    assert told(view, "interpretation_found") == ""
    assert "This slide" not in view.panel.plot.accessibleName()
    box.setFocus()
    qtbot.keyClick(box, Qt.Key.Key_Down)
    assert box.currentText() == "Jane Doe 0"
    assert "labelled N0 (training)" in told(view, "interpretation_found")
    view.review.state.slide = Opened("of another cohort")
    view.review.state.slide_changed.emit()
    qtbot.waitUntil(lambda: told(view, "interpretation_found") == NOT_AMONG)


def test_a_blinded_list_keeps_the_slide_back_until_the_call(view, qtbot, tmp_path):
    state = view.review.state
    state.slide, state.reason = Opened("abc"), "Withheld until your call: this list is read blinded."
    type_path(view, qtbot, written(tmp_path))
    qtbot.waitUntil(view.panel.plot.isVisible)
    assert told(view, "interpretation_found") == state.reason
    assert "This slide" not in view.panel.plot.accessibleName()
    assert view.panel.slide_box.count() == 1  # nor can it be chosen
    assert state.noted == 0
    state.reason = ""
    state.answers_changed.emit()
    qtbot.waitUntil(lambda: view.panel.slide_box.currentText() == "Jane Doe 3")
    assert state.noted == 1


def test_hidden_names_show_no_patient(view, qtbot, tmp_path):
    view.review.state.hide_names = True
    type_path(view, qtbot, written(tmp_path))
    qtbot.waitUntil(view.panel.plot.isVisible)
    box = view.panel.slide_box
    assert [box.itemText(i) for i in (0, 1, 12)] == ["Cohort alone", "Slide 1", "Slide 12"]
    assert not any("Jane" in box.itemText(i) for i in range(box.count()))


def test_the_numbers_of_a_feature_stand_under_the_cursor(view, qtbot, tmp_path):
    view.review.state.slide = Opened("abc")
    type_path(view, qtbot, written(tmp_path))
    qtbot.waitUntil(view.panel.plot.isVisible)
    plot = view.panel.plot
    at = QPointF(60, plot._head() + 0.5 * plot._row_height())
    moved = QMouseEvent(
        *(QMouseEvent.Type.MouseMove, at, plot.mapToGlobal(at)),
        *(Qt.MouseButton.NoButton, Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier),
    )
    QApplication.sendEvent(plot, moved)
    assert QToolTip.text().startswith("Density\nThis slide: ")
    picture = plot.grab().toImage()
    colours = {
        picture.pixelColor(x, y).name() for x in range(0, picture.width(), 2) for y in range(picture.height())
    }
    assert {"#4d8fe0", "#d9822b"} <= colours  # both groups are drawn


def test_another_file_is_refused_with_what_to_do(view, qtbot, tmp_path):
    other = tmp_path / SLIDES_NAME
    other.write_text("a,b\n1,2\n")
    type_path(view, qtbot, other)
    qtbot.waitUntil(lambda: bool(view.review.errors))
    assert "cannot be read as an interpretation" in view.review.errors[0].fact
    assert told(view, "interpretation_cohort") == ASK


def test_the_slide_under_review_is_found_in_the_cohort(hands, tissue_slide, tmp_path):
    """In the window: the key, the file dialog, the slide by what is in it, names hidden."""
    with open_slide(tissue_slide) as slide:
        path = written(tmp_path, slide.info.quick_hash)
    hands.drop(tissue_slide)
    hands.until(lambda: hands.state.seen is not None)
    hands.key(Qt.Key.Key_I, Qt.KeyboardModifier.ShiftModifier)
    window = hands.viewer.window._qt_window
    hands.until(lambda: window.findChild(QDockWidget, "aln_interpretation") is not None)
    dock = window.findChild(QDockWidget, "aln_interpretation")
    hands.until(dock.isVisible)
    button = dock.findChild(QToolButton, "interpretation_file_choose")
    hands.qtbot.mouseClick(button, Qt.MouseButton.LeftButton, pos=QPoint(5, 5))
    hands.answer_file_dialog(path)
    box = dock.findChild(QComboBox, "interpretation_slide")
    hands.until(lambda: box.currentText() == "Jane Doe 3")
    hands.qtbot.mouseClick(hands.dock.slide_card.hide_names_box, Qt.MouseButton.LeftButton)
    hands.until(lambda: box.currentText() == "Slide 4")
    hands.key(Qt.Key.Key_I, Qt.KeyboardModifier.ShiftModifier)
    hands.until(lambda: not dock.isVisible())
    assert not hands.errors()
