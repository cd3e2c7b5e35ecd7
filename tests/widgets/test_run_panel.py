import pytest
from qtpy.QtCore import Qt
from widget_records import child

from napari_aln.widgets.jobs import JobState
from napari_aln.widgets.panels.run_panel import RunPanel, duration, progress_line


@pytest.fixture
def panel(qtbot):
    panel = RunPanel()
    qtbot.addWidget(panel)
    panel.show()
    return panel


def click(qtbot, control):
    qtbot.mouseClick(control, Qt.MouseButton.LeftButton)


@pytest.mark.parametrize("kind", ["whole-slide", "roi"])
def test_a_button_asks_for_its_run_once_it_is_ready(panel, qtbot, kind):
    button, reason = child(panel, f"run_{kind}"), child(panel, f"run_{kind}_reason")
    panel.set_ready(kind, "Open a slide first.")
    assert reason.isVisible()
    assert reason.shown_text().endswith(": Open a slide first.")
    with qtbot.assertNotEmitted(panel.run_requested):
        click(qtbot, button)
    panel.set_ready(kind, None)
    assert not reason.isVisible()
    with qtbot.waitSignal(panel.run_requested) as told:
        click(qtbot, button)
    assert told.args == [kind]


def test_a_reason_that_holds_for_both_runs_is_said_once(panel):
    first, second = (child(panel, f"run_{kind}_reason") for kind in ("whole-slide", "roi"))
    for kind in ("whole-slide", "roi"):
        panel.set_ready(kind, "Open a slide first.")
    assert (first.shown_text(), second.isVisible()) == ("Open a slide first.", False)
    panel.set_ready("roi", "Draw a tumour ROI first.")
    assert first.shown_text() == "Whole slide: Open a slide first."
    assert second.shown_text() == "ROI: Draw a tumour ROI first."


def test_while_running_only_cancel_can_be_pressed(panel, qtbot):
    panel.set_ready("whole-slide", None)
    panel.set_state(JobState.RUNNING)
    with qtbot.assertNotEmitted(panel.run_requested):
        click(qtbot, child(panel, "run_whole-slide"))
    told = []
    panel.cancel_requested.connect(lambda: told.append(1))
    click(qtbot, child(panel, "run_cancel"))
    click(qtbot, child(panel, "run_cancel"))
    assert told == [1]
    panel.set_state(JobState.CANCELLED, "Cancelled.")
    assert child(panel, "run_status").shown_text() == "Cancelled."
    assert not child(panel, "run_cancel").isVisible()
    assert child(panel, "run_whole-slide").isEnabled()


def test_readiness_told_during_a_run_holds_after_it(panel):
    panel.set_state(JobState.RUNNING)
    panel.set_ready("roi", None)
    assert not child(panel, "run_roi").isEnabled()
    panel.set_state(JobState.DONE, "Done.")
    assert child(panel, "run_roi").isEnabled()


@pytest.mark.parametrize(("done", "total", "share"), [(412, 1900, 412 / 1900), (3 * 10**9, 4 * 10**9, 0.75)])
def test_progress_bar_stands_where_the_work_does(panel, done, total, share):
    panel.set_state(JobState.RUNNING)
    panel.show_progress("extract", done, total, None, None)
    bar = child(panel, "run_progress")
    assert bar.isVisible()
    assert bar.value() / bar.maximum() == pytest.approx(share)


def test_the_bar_never_moves_by_itself(panel):
    panel.set_state(JobState.RUNNING)
    assert panel.bar.maximum() > 0
    panel.show_progress("open", 0, 1, None, None)
    assert (panel.bar.value(), panel.bar.maximum()) == (0, 1)


def test_progress_after_the_end_is_ignored(panel):
    panel.set_state(JobState.RUNNING)
    panel.set_state(JobState.FAILED, "It failed.")
    panel.show_progress("extract", 1, 2, None, None)
    assert child(panel, "run_status").shown_text() == "It failed."
    assert not child(panel, "run_progress").isVisible()


def test_progress_after_cancel_does_not_hide_that_it_is_being_cancelled(panel, qtbot):
    panel.set_state(JobState.RUNNING)
    click(qtbot, child(panel, "run_cancel"))
    panel.show_progress("extract", 1, 2, None, None)
    assert "Cancelling" in child(panel, "run_status").shown_text()


@pytest.mark.parametrize(
    ("progress", "line"),
    [
        (("extract", 412, 1900, 21.3, 69.7), "412 of 1 900 patches · 21/s · 1 min 10 s left"),
        (("extract", 0, 1900, None, None), "0 of 1 900 patches"),
        (("score bags", 3, 100, 2.5, 38.8), "Score bags: 3 of 100 · 2.5/s · 39 s left"),
        (("survey", 0, 1, None, None), "Survey …"),
    ],
)
def test_progress_in_words(progress, line):
    assert progress_line(*progress).replace("\u202f", " ") == line


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (59.2, "1 min 0 s"), (3600, "1 h 0 min"), (61, "1 min 1 s")]
)
def test_duration(seconds, text):
    assert duration(seconds).replace("\u202f", " ") == text
