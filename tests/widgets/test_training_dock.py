"""A model trained in the window: cut off, gone on with, loaded; another training watched."""

import shutil
import threading

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDockWidget, QLabel, QPushButton, QSpinBox, QToolButton

from napari_aln.records import RESEARCH_NOTICE
from napari_aln.widgets.jobs import JobState
from napari_aln.widgets.training import BUSY, CANCELLED
from napari_aln.workflows.training import epochs as training_run
from napari_aln.workflows.training.curves import can_go_on


class TrainingHands:
    """Works the training dock of a window in which it was opened."""

    def __init__(self, hands):
        self.hands = hands
        self.dock = hands.viewer.window._qt_window.findChild(QDockWidget, "aln_training")
        self.training = self.dock.widget()
        self.panel = self.training.panel

    def part(self, kind, name):
        found = [w for w in self.dock.findChildren(kind, name) if w.isVisible()]
        assert len(found) == 1, f"{len(found)} parts named {name} are to be seen"
        return found[0]

    def click(self, name, kind=QPushButton):
        button = self.part(kind, name)
        self.panel.plan_area.ensureWidgetVisible(button)
        assert button.isEnabled(), f"{name} cannot be clicked"
        self.hands.qtbot.mouseClick(button, Qt.MouseButton.LeftButton)

    def choose(self, name, path):
        self.click(f"{name}_choose", QToolButton)
        self.hands.answer_file_dialog(path)

    def write(self, name, text, kind=QSpinBox):
        control = self.part(kind, name)
        self.panel.plan_area.ensureWidgetVisible(control)
        control.setFocus()
        control.selectAll()
        self.hands.qtbot.keyClicks(control, text)
        self.hands.qtbot.keyClick(control, Qt.Key.Key_Tab)

    def status(self):
        return self.panel.status.shown_text()

    def ended(self):
        return self.training.job.state is not JobState.RUNNING


@pytest.mark.slow
def test_a_training_from_its_key_to_the_loaded_model(hands, tiny_cohort, ws_bundle, tmp_path, monkeypatch):
    until, go, reached = hands.until, threading.Event(), threading.Event()
    real_save = training_run.save_checkpoint

    def held(path, configuration, state):
        real_save(path, configuration, state)
        if state["epoch"] == 2 and not reached.is_set():
            reached.set()
            go.wait(60)

    monkeypatch.setattr(training_run, "save_checkpoint", held)
    hands.key(Qt.Key.Key_T, Qt.KeyboardModifier.ShiftModifier)
    until(lambda: hands.viewer.window._qt_window.findChild(QDockWidget, "aln_training") is not None)
    at = TrainingHands(hands)
    until(at.panel.isVisible)
    assert at.status() == "Choose the cohort table to train on."
    assert not at.panel.start_button.isEnabled()

    # A table that is none is told beside the slide, with what to do.
    odd = tmp_path / "odd.csv"
    odd.write_text("a,b\n1,2\n")
    out = tmp_path / "mine.alnmodel"
    at.choose("training_cohort", odd)
    at.choose("training_out", out)
    at.choose("setting_encoder_from_path", ws_bundle)
    at.write("setting_epochs", "4")
    at.write("setting_seed", "3")
    at.click("training_start")
    until(lambda: bool(hands.errors()))
    assert at.status().startswith("Failed")
    assert "odd.csv" in hands.banner()

    # Under way: progress, no run beside it, curves; cut off, it keeps what it learned.
    at.choose("training_cohort", tiny_cohort)
    at.click("training_start")
    until(reached.is_set)
    until(lambda: at.panel.loss_plot.n_epochs == 1)
    assert "Epoch 2 of at most 4" in at.status()
    reason = hands.dock.run.reasons["whole-slide"].shown_text()
    assert reason == BUSY
    assert not at.panel.plan_area.isVisible()
    at.click("training_cancel")
    go.set()
    until(at.ended)
    assert at.status() == CANCELLED
    assert hands.dock.run.reasons["whole-slide"].shown_text() == "Open a slide first."

    # Gone on with: the last two epochs, figures with intervals, the model.
    assert at.panel.start_button.text() == "Go on training"
    at.click("training_start")
    until(at.ended)
    assert at.training.job.state is JobState.DONE, hands.errors()
    until(lambda: at.panel.auc_plot.n_epochs == 4)
    result = at.panel.result.toPlainText()
    assert "Kept epoch" in result
    assert "of 4:" in result
    assert "AUC" in result
    assert " to " in result
    assert at.panel.start_button.text() == "Train"
    assert at.part(QLabel, "training_notice").text() == RESEARCH_NOTICE
    at.click("training_load")
    until(lambda: any(bundle.path == out for bundle in hands.state.bundles.values()))
    assert hands.errors()[1:] == []

    # One that runs in a terminal, watched as its table grows.
    far = tmp_path / "far.training"
    far.mkdir()
    lines = (tmp_path / "mine.training" / "metrics.csv").read_text("utf-8-sig").splitlines(keepends=True)
    (far / "metrics.csv").write_text("".join(lines[:3]), "utf-8-sig")
    at.click("training_watch")
    hands.answer_file_dialog(far / "metrics.csv")
    until(lambda: at.panel.loss_plot.n_epochs == 2)
    assert at.status().startswith("Watching far.training: 2 epochs")
    shutil.copy(tmp_path / "mine.training" / "metrics.csv", far / "new.csv")
    (far / "new.csv").replace(far / "metrics.csv")
    until(lambda: at.panel.loss_plot.n_epochs == 4)
    hands.key(Qt.Key.Key_T, Qt.KeyboardModifier.ShiftModifier)
    until(lambda: not at.panel.isVisible())

    # The window is closed while a training goes on: that ends, and can be gone on with.
    hands.click(hands.dock.models.train_button)
    until(at.panel.isVisible)
    go.clear()
    reached.clear()
    at.click("training_start")
    until(reached.is_set)
    threading.Timer(0.5, go.set).start()  # once the window waits for the thread
    hands.close_window()
    assert not any(thread.name.startswith("aln-train") for thread in threading.enumerate())
    assert can_go_on(out)
