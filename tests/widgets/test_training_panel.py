"""The panel of a training and what keeps it in step, without napari: a stand-in for the review."""

import threading

import pytest
from qtpy.QtCore import QObject, QPoint, QPointF, Qt, Signal
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication, QCheckBox, QLabel, QLineEdit, QToolTip
from widget_records import child, model_card

from napari_aln.errors import CohortError
from napari_aln.mil.card import Metric
from napari_aln.records import RESEARCH_NOTICE, Progress
from napari_aln.settings.training import FinetuneSettings, RecipeSettings
from napari_aln.widgets import training as training_module
from napari_aln.widgets.jobs import Job, JobState
from napari_aln.widgets.panels.curve_plot import Curve, CurvePlot
from napari_aln.widgets.panels.training_panel import WAYS
from napari_aln.widgets.state import ReviewState
from napari_aln.widgets.training import (
    BUSY,
    CANCELLED,
    NO_SOURCE,
    SEVERAL_SOURCES,
    WAITS,
    Pace,
    Training,
)
from napari_aln.workflows.training.train_in_window import TrainingEnd

HEAD = "epoch,loss,validation_auc,validation_loss,learning_rate,training_auc\n"


class StandIn(QObject):
    """As much of a review as a training needs."""

    told = Signal(str, str)

    def __init__(self):
        super().__init__()
        self.state, self.models, self.memory = ReviewState(), self, self
        self.jobs, self.errors, self.loaded = [], [], []
        self.running = self.new_job("run", lambda _: None)

    def new_job(self, name, on_done):
        job = Job(name, self)
        job.done.connect(on_done)
        job.failed.connect(self.on_error)
        self.jobs.append(job)
        return job

    def follow(self, job):
        """Memory is tidied up by the review."""

    def on_error(self, error):
        self.errors.append(error)

    def load(self, paths):
        self.loaded += paths


@pytest.fixture
def review(qtbot):
    review = StandIn()
    yield review
    for job in review.jobs:
        job.close()


@pytest.fixture
def training(qtbot, review):
    training = Training(review)
    qtbot.addWidget(training)
    training.resize(340, 760)
    training.show()
    return training


def click(qtbot, control):
    assert control.isVisible()
    has_sign = isinstance(control, QCheckBox)  # at the left; beside it is nothing
    qtbot.mouseClick(
        control, Qt.MouseButton.LeftButton, pos=QPoint(8, control.height() // 2) if has_sign else QPoint()
    )


def write(qtbot, panel, name, text):
    line = child(panel, name)
    line.clear()
    qtbot.keyClicks(line, str(text))


def fill(qtbot, training, folder):
    write(qtbot, training.panel, "training_cohort", folder / "cohort.csv")
    write(qtbot, training.panel, "training_out", folder / "m.alnmodel")
    click(qtbot, child(training.panel, "setting_download"))


def status(training):
    return child(training.panel, "training_status").shown_text()


class Work:
    """A training that goes on when it is let."""

    def __init__(self, monkeypatch):
        self.plans, self.go, self.error = [], threading.Semaphore(0), None
        self.end = None
        monkeypatch.setattr(training_module, "train_in_window", self)

    def __call__(self, plan):
        self.plans.append(plan)
        yield Progress("encode slides", 1, 4)
        yield Progress("extract", 30, 300)
        for epoch in (1, 2):
            self.go.acquire(timeout=60)
            if self.error:
                raise self.error
            yield Progress(f"epoch {epoch}", epoch, 2)
        auc = Metric(name="AUC", value=0.912, n=24, cohort="test", low=0.8012, high=0.98)
        card = model_card(metrics=(auc,))
        return TrainingEnd(plan.out, card, 1, 2, ("Patient p1: (hidden) was left out.",))


@pytest.fixture
def work(monkeypatch):
    return Work(monkeypatch)


def test_what_is_missing_is_said_step_by_step(training, qtbot, tmp_path):
    panel = training.panel
    start = child(panel, "training_start")
    assert status(training) == "Choose the cohort table to train on."
    write(qtbot, panel, "training_cohort", tmp_path / "cohort.csv")
    assert status(training) == "Name the model to be written."
    write(qtbot, panel, "training_out", tmp_path / "m.alnmodel")
    assert status(training) == NO_SOURCE
    assert not start.isEnabled()
    click(qtbot, child(panel, "setting_download"))
    assert (start.isEnabled(), status(training)) == (True, "")
    write(qtbot, panel, "setting_encoder_weights_path", tmp_path / "w.safetensors")
    assert status(training) == SEVERAL_SOURCES
    assert not start.isEnabled()


def test_the_fields_come_from_the_settings_of_the_way(training, qtbot):
    panel = training.panel
    recipe = panel.recipe()
    assert (type(recipe), recipe.model_fields_set) == (RecipeSettings, set())
    assert panel.editor("epochs").value() == RecipeSettings().epochs
    click(qtbot, child(panel, "setting_download"))
    panel.way_box.setFocus()
    qtbot.keyClick(panel.way_box, Qt.Key.Key_Down)
    assert panel.way == "finetune"
    assert panel.recipe() == FinetuneSettings(download=True)  # what holds for both is kept
    assert panel.editor("epochs").value() == FinetuneSettings().epochs
    for way, (_, model) in WAYS.items():  # a field without a control would keep the dock shut
        panel.way_box.setCurrentIndex(panel.way_box.findData(way))
        for name in model.model_fields:
            if name != "patches":
                assert panel.editor(name).toolTip(), name


def test_what_is_chosen_is_trained(training, qtbot, work, tmp_path):
    panel = training.panel
    fill(qtbot, training, tmp_path)
    seed = panel.editor("seed")
    seed.setFocus()
    seed.selectAll()
    qtbot.keyClicks(seed, "7")
    panel.mode_box.setFocus()
    qtbot.keyClick(panel.mode_box, Qt.Key.Key_End)
    classes = panel.editor("n_classes")
    classes.setFocus()
    qtbot.keyClick(classes, Qt.Key.Key_Down)
    click(qtbot, child(panel, "training_start"))
    qtbot.waitUntil(lambda: bool(work.plans))
    (plan,) = work.plans
    assert (plan.way, plan.mode, plan.cohort) == ("frozen", "dlcnb", tmp_path / "cohort.csv")
    assert (plan.recipe.seed, plan.recipe.n_classes, plan.recipe.download) == (7, 3, True)
    assert plan.recipe.model_fields_set == {"seed", "n_classes", "download"}
    training.job.cancel()
    work.go.release(2)


def test_a_training_from_start_to_the_loaded_model(training, review, qtbot, work, tmp_path):
    panel, told = training.panel, []
    review.told.connect(lambda kind, text: told.append((kind, text)))
    fill(qtbot, training, tmp_path)
    assert not panel.loss_plot.isVisible()
    click(qtbot, child(panel, "training_start"))
    qtbot.waitUntil(lambda: status(training) == "Encode slides: 1 of 4 · 30 of 300 patches")
    assert panel.bar.value() == 250  # of the slides, not of the patches of one
    assert review.state.why_not("whole-slide") == BUSY
    assert not panel.plan_area.isVisible()
    folder = tmp_path / "m.training"
    folder.mkdir()
    (folder / "metrics.csv").write_text(HEAD + "1,0.7,0.5,0.69,0.1,0.6\n", encoding="utf-8-sig")
    work.go.release()
    qtbot.waitUntil(lambda: "Epoch 2 of at most 2" in status(training))
    assert panel.loss_plot.text_at(1) == "Epoch 1, kept\ntraining 0.700\nvalidation 0.690"
    assert panel.auc_plot.text_at(1) == "Epoch 1, kept\ntraining 0.600\nvalidation 0.500"
    work.go.release()
    qtbot.waitUntil(lambda: training.job.state is JobState.DONE)
    result = child(panel, "training_result").toPlainText()
    assert result.splitlines() == [
        f"Kept epoch 1 of 2: {model_card().name}",
        "Test, 24 patients:",
        "AUC 0.912 (0.801 to 0.980)",
        "Patient p1: (hidden) was left out.",
    ]
    assert [kind for kind, _ in told] == ["info", "warning"]
    assert review.state.blocked == ""
    assert child(panel, "training_notice").text() == RESEARCH_NOTICE
    click(qtbot, child(panel, "training_load"))
    assert review.loaded == [tmp_path / "m.alnmodel"]


def test_cancelled_it_goes_on_later(training, review, qtbot, work, tmp_path):
    panel = training.panel
    fill(qtbot, training, tmp_path)
    click(qtbot, child(panel, "training_start"))
    qtbot.waitUntil(lambda: bool(work.plans))
    (tmp_path / "m.training").mkdir()
    (tmp_path / "m.training" / "checkpoint.pt").touch()
    click(qtbot, child(panel, "training_cancel"))
    assert status(training) == CANCELLED
    assert (review.state.blocked, panel.plan_area.isVisible()) == ("", True)
    assert panel.start_button.text() == "Go on training"
    work.go.release()


def test_a_failure_is_told_and_the_plan_stays(training, review, qtbot, work, tmp_path):
    panel = training.panel
    fill(qtbot, training, tmp_path)
    work.error = CohortError("The table is odd.", "Mend it.")
    click(qtbot, child(panel, "training_start"))
    work.go.release()
    qtbot.waitUntil(lambda: training.job.state is JobState.FAILED)
    assert [str(error) for error in review.errors] == ["The table is odd. Mend it."]
    assert status(training).startswith("Failed")
    assert (panel.start_button.isVisible(), panel.start_button.isEnabled()) == (True, True)
    assert panel.cohort.path() == tmp_path / "cohort.csv"
    assert not panel.load_button.isVisible()


def test_a_training_waits_for_a_run_and_can_be_called_off(training, review, qtbot, work, tmp_path):
    panel, go = training.panel, threading.Event()

    def run():
        yield Progress("extract", 0, 1)
        go.wait(60)

    fill(qtbot, training, tmp_path)
    review.running.start(run)
    click(qtbot, child(panel, "training_start"))
    assert status(training) == WAITS
    click(qtbot, child(panel, "training_cancel"))
    assert (status(training), review.running.is_running, work.plans) == ("", True, [])
    click(qtbot, child(panel, "training_start"))
    go.set()
    qtbot.waitUntil(lambda: bool(work.plans))
    training.job.cancel()
    work.go.release()


def test_names_are_kept_out_where_they_are_hidden(training, review, qtbot, work, tmp_path):
    review.state.hide_names = True
    fill(qtbot, training, tmp_path)
    click(qtbot, child(training.panel, "training_start"))
    qtbot.waitUntil(lambda: bool(work.plans))
    assert work.plans[0].private
    training.job.cancel()
    work.go.release()


def test_another_training_is_watched_as_it_grows(training, review, qtbot, tmp_path):
    metrics = tmp_path / "far.training" / "metrics.csv"
    metrics.parent.mkdir()
    training.watch(metrics)
    assert status(training) == "Watching far.training: no epoch yet."
    metrics.write_text(HEAD + "1,0.7,0.5,0.69,0.1,0.6\n", encoding="utf-8-sig")
    qtbot.waitUntil(lambda: training.panel.loss_plot.n_epochs == 1, timeout=30_000)
    new = metrics.with_name("new")  # as the trainer writes it: moved into place
    new.write_text(HEAD + "1,0.7,0.5,0.69,0.1,0.6\n2,0.6,0.7,0.6,0.1,0.7\n", encoding="utf-8-sig")
    new.replace(metrics)
    qtbot.waitUntil(lambda: training.panel.loss_plot.n_epochs == 2, timeout=30_000)
    assert status(training) == "Watching far.training: 2 epochs, epoch 2 is the best so far."
    click(qtbot, child(training.panel, "training_watch"))
    assert (training.panel.loss_plot.n_epochs, training.panel.loss_plot.isVisible()) == (0, False)
    other = tmp_path / "scores.csv"
    other.write_text("patient,score\n")
    training.watch(other)
    assert "is no table of a training" in str(review.errors[0])
    assert child(training.panel, "training_watch").text() == "Watch a training…"


def test_a_file_is_dropped_on_its_line(training, tmp_path):
    lines = [line for line in training.panel.findChildren(QLineEdit) if line.objectName().endswith("_path")]
    assert lines
    for path_line in (training.panel.cohort, training.panel.out):
        assert path_line.acceptDrops()
        assert not path_line.line.acceptDrops()  # a dropped file is no text


def test_every_control_has_a_name(training):
    panel = training.panel
    named = {label.buddy() for label in panel.findChildren(QLabel)}
    for part in panel.findChildren(QLineEdit):
        if part.objectName() != "qt_spinbox_lineedit":
            assert part.accessibleName() or part.parentWidget() in named, part.objectName()


def test_pace_is_that_of_the_present_part(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(training_module.time, "monotonic", lambda: now[0])
    pace = Pace()
    assert pace.left_s(Progress("encode slides", 0, 10)) is None
    now[0] = 4.0
    assert pace.left_s(Progress("encode slides", 2, 10)) == pytest.approx(16.0)
    assert pace.left_s(Progress("epoch 4", 4, 10)) is None  # gone on with from the third
    now[0] = 10.0
    assert pace.left_s(Progress("epoch 5, loss 0.5", 6, 10)) == pytest.approx(12.0)


@pytest.fixture
def plot(qtbot):
    plot = CurvePlot("p", "Loss")
    qtbot.addWidget(plot)
    plot.resize(300, 150)
    plot.show()
    return plot


def pixels(plot):
    QApplication.processEvents()
    image = plot.grab().toImage()
    return [image.pixelColor(x, y).name() for y in range(image.height()) for x in range(image.width())]


def test_curves_are_drawn_and_told(plot):
    empty = pixels(plot)
    assert plot.accessibleName() == "Loss: no epoch yet"
    plot.set_curves([Curve("training", (0.7, 0.5, 0.4)), Curve("validation", (0.8, float("nan"), 0.6))], 2)
    assert plot.accessibleName() == "Loss. Epoch 3, kept, training 0.400, validation 0.600"
    assert plot.text_at(2) == "Epoch 2\ntraining 0.500\nvalidation not defined"
    drawn = pixels(plot)
    assert drawn.count("#4d8fe0") > empty.count("#4d8fe0") + 50
    assert plot.n_epochs == 3


def test_the_values_of_an_epoch_stand_under_the_cursor(plot, qtbot):
    plot.set_curves([Curve("training", tuple(i / 10 for i in range(5)))], 0)
    room = plot._room()
    for epoch in (1, 3, 5):
        place = QPointF(room.left() + (epoch - 1) / 4 * room.width(), room.center().y())
        where = plot.mapToGlobal(QPoint(round(place.x()), round(place.y())))
        kind, none = QMouseEvent.Type.MouseMove, Qt.MouseButton.NoButton
        QApplication.sendEvent(
            plot, QMouseEvent(kind, place, QPointF(where), none, none, Qt.KeyboardModifier.NoModifier)
        )
        assert QToolTip.text().startswith(f"Epoch {epoch}")
