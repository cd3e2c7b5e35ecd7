"""The window, driven by mouse and key as a person would."""

from __future__ import annotations

from qtpy.QtCore import Qt

from napari_aln.workflows.demo import BUNDLES, ROI, SLIDE, demo_clinical, sample_path


def test_the_demo_goes_from_files_to_two_result_cards(review, qtbot):
    dock = review
    dock.review.open_files([sample_path(name) for name in (SLIDE, ROI, *BUNDLES)])
    qtbot.waitUntil(
        lambda: bool(dock.review.state.regions) and len(dock.review.state.bundles) == 2, timeout=30_000
    )
    dock.review.state.set_clinical(demo_clinical())
    for kind, run in (("whole-slide", "dlcnbc-ws"), ("roi", "dlcnbc")):
        button = dock.run.buttons[kind]
        assert button.isEnabled()
        with qtbot.waitSignal(dock.review.running.done, timeout=60_000):
            qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
        assert run in dock.results.cards
    assert set(dock.review.state.answers) == {"dlcnbc-ws", "dlcnbc"}
