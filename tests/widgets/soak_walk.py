"""A person who does this and that at the window for hours: what comes next is drawn, and repeats by its seed.

Each action begins in a window at rest, or, after a run was started, beside that run until something ends it.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication
from soak_deeds import ALT, CTRL, DOCK_KEYS, POWERS_HERE, SHIFT, Deeds
from window_hands import Hands

from napari_aln.store.features import FeatureCache
from napari_aln.widgets.panels.mpp_dialog import MppDialog

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TOO_SMALL = "holds no patch"  # what is drawn may be, and a run inside it is refused
KEEPS_SOON = "keeping soon"


class Action(NamedTuple):
    """Something a person does.

    Attributes
    ----------
    name
        Of the kind.
    do
        Does it.
    weight
        How often it is done, beside the others.
    may
        Whether it can be done now.
    """

    name: str
    do: Callable[[], None]
    weight: float = 1.0
    may: Callable[[], bool] = lambda: True


class Walk(Deeds):
    """Does one thing after another.

    Parameters
    ----------
    open_window
        Opens a window and returns its dock.
    qtbot
        Presses keys and buttons.
    bundles
        Models of both modes.
    slides
        Sound slides; the first is the one on which windows are compared.
    damaged
        One that cannot be opened.
    folder
        Where sessions and results are written.
    seed
        Of all that is drawn.
    """

    def __init__(
        self,
        open_window: Callable,
        qtbot,
        *,
        bundles: list[Path],
        slides: list[Path],
        damaged: Path,
        folder: Path,
        seed: int,
    ) -> None:
        super().__init__(qtbot)
        self._open_window = open_window
        self.slides, self.damaged, self.folder = slides, damaged, folder
        self.seed, self._draws = seed, count()
        self.rng = np.random.default_rng(seed)
        self.bundles = bundles
        self.done: Counter[str] = Counter()
        self.cut_in_time = 0  # runs that were under way when something ended them
        self._beside_run = 0  # actions that are still to be done before a run is ended
        self._numbers = count()
        self._sessions: list[Path] = []
        self.hands = self._window()
        always, beside, cuts = self._at_rest(), self._any_time(), self._ends_of_runs()
        self.kinds = {"rest": always + beside, "beside": beside, "cut": cuts}

    # The order of things

    def step(self) -> str:
        """Do the next thing; return its name before, on standard output, and after."""
        running, kinds = self.busy, self.kinds["rest"]
        if running:
            self._beside_run -= 1
            kinds = self.kinds["beside" if self._beside_run else "cut"]
        action = self._draw(kinds)
        print(f"{sum(self.done.values()) + 1} {action.name}", flush=True)
        if running and not self.busy:
            self.cut_in_time += self.hands.review.running.is_running
        action.do()
        if not self.busy:
            self.settle()
        self.done[action.name] += 1
        return action.name

    def _draw(self, kinds: list[Action]) -> Action:
        """Return the next action, likelier one that was seldom done; what cannot be done now is passed over.

        What was never done comes first: so what it loads for good is loaded before anything is compared. Each
        draw has a generator of its own: a walk that went another way for once soon goes on as before.
        """
        kinds = [action for action in kinds if not self.done[action.name] and action.may()] or kinds
        weights = np.array([action.weight / (1 + self.done[action.name]) for action in kinds])
        while True:
            self.rng = np.random.default_rng((self.seed, next(self._draws)))
            action = kinds[self.rng.choice(len(kinds), p=weights / weights.sum())]
            if action.may():
                return action

    @property
    def busy(self) -> bool:
        """Whether a run was begun that nothing has ended yet."""
        return self._beside_run > 0

    def new_errors(self) -> list[str]:
        """Return what the window's log says of errors that were not to be expected, since the last time."""
        told = self.hands.errors()[self._known_errors :]
        self._known_errors += len(told)
        return [error for error in told if TOO_SMALL not in error]

    def settle(self) -> None:
        """Wait until nothing works any more but what is kept now and then, and answer what is asked."""
        self._answer_mpp()
        self.hands.until(lambda: not set(self.what_works()) - {"keep", KEEPS_SOON})
        self._answer_mpp()

    def what_works(self) -> list[str]:
        """Return the names of what is at work, or soon will be."""
        review, keeping = self.hands.review, self.hands.dock.keeping
        jobs = (*review.jobs, review.live.job, keeping.writing)
        timers = {"what-if": review.live._pause, "asking": review.live._asking, "keeping": keeping._pause}
        pyramid = review.scene.slide.pyramid
        return [
            *(job.objectName() for job in jobs if job.is_running),
            *(f"{name} soon" for name, timer in timers.items() if timer.isActive()),
            *([f"{pyramid.pending} tiles"] if pyramid is not None and pyramid.pending else []),
        ]

    def _answer_mpp(self) -> None:
        """Give the µm/px of a slide that does not say it."""
        if any(dialog.isVisible() for dialog in self.hands.dock.findChildren(MppDialog)):
            self.hands.answer_mpp("0.5")
            self.hands.until(lambda: not self.hands.review.opening.is_running)

    def compose(self) -> None:
        """Bring the window into the state in which windows are compared."""
        hands = self.hands
        if not hands.state.bundles:  # all others have them
            self._load()
        for button in (hands.dock.compare.split_button, hands.dock.navigation.layers_button):
            if button.isChecked():
                hands.click(button)
        if hands.state.hide_names:
            hands.click(hands.dock.slide_card.hide_names_box)
        self._end_tool()
        for name in DOCK_KEYS:  # all have been shown once, none is
            for _ in range(1 + (not hands.dock.side_docks.is_shown(name))):
                self._toggle_dock(name)
        self._look_at_help()
        for slide in (self.slides[1], self.slides[0]):  # nothing is left of what was done on the first
            self._open(slide)
            self.settle()
        hands.key(Qt.Key.Key_0, ALT)
        hands.until(lambda: not self.what_works())

    # What can be done

    def _at_rest(self) -> list[Action]:
        return [
            Action("open a slide", lambda: self._open(self._pick(self.slides)), 4),
            Action("open the same again", lambda: self._open(self._slide_path()), 1, self._has_slide),
            Action("open a damaged file", self._open_damaged, 2),
            Action("open two at once", self._open_two, 1),
            Action("run", self._run, 6, self._has_slide),
            Action("begin a run", self._begin, 12, self._has_slide),
            Action("find nuclei in view", self._find_nuclei, 3, self._has_slide),
            Action("cancel finding nuclei", self._cancel_nuclei, 2, self._has_slide),
            Action("save a session", self._save_session, 2, self._has_slide),
            Action("open a session", self._open_session, 2, lambda: bool(self._sessions)),
            Action("save the result", self._save_result, 1, lambda: bool(self.hands.state.answers)),
            Action("edit the mask", self._edit_mask, 1, self._has_mask),
            Action("remove the slide", self._remove_slide, 1, self._has_slide),
            Action("close the window", self._close_window, 2),
            Action("look at the help", self._look_at_help),
            Action("hide names", lambda: self.hands.click(self.hands.dock.slide_card.hide_names_box)),
        ]

    def _any_time(self) -> list[Action]:
        slide, roi, map_, regions = self._has_slide, self._has_roi, self._has_map, self._has_regions
        return [
            Action("zoom", self._zoom, 4, slide),
            Action("pan", self._pan, 3, slide),
            Action("magnify", self._magnify, 2, slide),
            Action("draw with the lasso", self._lasso, 5, slide),
            Action("draw a polygon", self._polygon, 2, slide),
            Action("paint with the brush", self._brush, 2, slide),
            Action("drag a point", self._drag_point, 3, roi),
            Action("undo", lambda: self.hands.key(Qt.Key.Key_Z, CTRL), 3, slide),
            Action("redo", lambda: self.hands.key(Qt.Key.Key_Z, CTRL | SHIFT), 2, slide),
            Action("simplify", lambda: self.hands.click(self.hands.dock.roi.simplify_button), 1, roi),
            Action("clear the ROI", lambda: self.hands.click(self.hands.dock.roi.clear_button), 1, roi),
            Action("magnify here", partial(self._choose_here, POWERS_HERE), 1, slide),
            Action("whole slide by the menu", partial(self._choose_here, ["Whole slide"]), 1, slide),
            Action("copy the position", partial(self._choose_here, ["Copy the position"]), 1, slide),
            Action("look at the slide's menu", self._look_at_menu, 1, slide),
            Action("show a region", partial(self._choose_of_region, "Show all of it"), 1, regions),
            Action(
                "set a region aside", partial(self._choose_of_region, "Set aside", "Use again"), 2, regions
            ),
            Action("remove a region", partial(self._choose_of_region, "Remove"), 1, regions),
            Action("type an age", self._type_age, 3, slide),
            Action("choose another map", self._choose_map, 3, map_),
            Action("filter the map", self._filter_map, 1, map_),
            Action("map on or off", lambda: self.hands.key(Qt.Key.Key_H, SHIFT), 1, map_),
            Action("fly to a hotspot", lambda: self.hands.key(Qt.Key.Key_N, SHIFT), 2, map_),
            Action("click in the gallery", self._click_gallery, 2, self._has_tiles),
            Action("split the view", lambda: self.hands.key(Qt.Key.Key_S, SHIFT), 2, self._has_pair),
            Action("show the difference", self._show_difference, 1, self._has_pair),
            Action("mask on or off", self._toggle_mask, 1, self._has_mask),
            Action("measure", self._measure, 1, slide),
            Action("napari's layers", lambda: self.hands.key(Qt.Key.Key_F2), 1),
            *(Action(f"{name} shown or hidden", partial(self._toggle_dock, name), 1.5) for name in DOCK_KEYS),
        ]

    def _ends_of_runs(self) -> list[Action]:
        return [
            Action("cancel the run", self._cancel, 5),
            Action("another slide during a run", lambda: self._open(self._other_slide()), 4),
            Action("the same slide during a run", lambda: self._open(self._slide_path()), 1, self._has_slide),
            Action("a damaged file during a run", self._open_damaged, 2),
            Action("a session during a run", self._open_session, 2, lambda: bool(self._sessions)),
            Action("remove the slide during a run", self._remove_slide, 1, self._has_slide),
            Action("close the window during a run", self._close_window, 4),
            Action("wait for the run", self._wait_for_run, 3),
        ]

    # Windows and files

    def _window(self) -> Hands:
        hands = Hands(self._open_window(), self._qtbot)
        self._known_errors = 0
        hands.until(lambda: hands.dock.slide_card.open_button.isVisible())
        hands.until(lambda: not any(job.is_running for job in hands.review.jobs))
        return hands

    def _close_window(self) -> None:
        self._beside_run = 0
        self.hands.close_window()
        del self.hands
        self.hands = self._window()

    def _load(self) -> None:
        self.hands.load(*self.bundles)

    def _slide_path(self) -> Path:
        return self.hands.state.slide.info.path

    def _other_slide(self) -> Path:
        here = self._slide_path() if self._has_slide() else None
        return self._pick([path for path in self.slides if path != here])

    def _open(self, path: Path) -> None:
        self._beside_run = 0
        self.hands.open(path)

    def _open_damaged(self) -> None:
        self._beside_run = 0
        errors = len(self.hands.errors())
        self.hands.drop(self.damaged)
        self.hands.until(lambda: len(self.hands.errors()) > errors)
        self._known_errors = errors + 1

    def _open_two(self) -> None:
        self.hands.drop(self._pick(self.slides))
        QApplication.processEvents()
        self._open(self._pick(self.slides))

    def _remove_slide(self) -> None:
        self._beside_run = 0
        layers = self.hands.viewer.layers
        layers.selection = {layers["slide"]}
        layers.remove_selected()  # what napari's bin and its Delete key do
        QApplication.processEvents()

    def _save_session(self) -> None:
        path = self.folder / f"{next(self._numbers)}.alnsession"
        self.hands.click(self.hands.dock.slide_card.save_session_button)
        self.hands.answer_file_dialog(path)
        self.hands.until(path.exists)
        self._sessions = [*self._sessions, path][-3:]

    def _open_session(self) -> None:
        self._beside_run = 0
        self.hands.drop(self._pick(self._sessions))
        self.hands.until(lambda: not self.hands.dock.keeping.opening.is_running)

    def _save_result(self) -> None:
        out = self.folder / f"results {next(self._numbers)}"
        out.mkdir()
        self.hands.click(self.hands.dock.results.save_button)
        self.hands.answer_file_dialog(out)
        self.hands.until(lambda: any(out.rglob("report.html")))

    # Runs

    def _kind(self) -> str:
        """Return which button is pressed; what it wants is filled in."""
        hands = self.hands
        kind = "roi" if self._has_roi() and self.rng.random() < 0.5 else "whole-slide"
        if not hands.state.bundles:
            self._load()
        if hands.state.why_not(kind):
            hands.fill_patient(age=str(self.rng.integers(30, 80)))
        assert hands.state.why_not(kind) is None, hands.state.why_not(kind)
        return kind

    def _run(self) -> None:
        self.hands.start(self._kind())
        self._wait_for_run()

    def _begin(self) -> None:
        """Start a run that has all patches to read, and let it begin with them."""
        kind = self._kind()
        FeatureCache().clear()
        self.hands.start(kind)
        running, status = self.hands.review.running, self.hands.dock.run.status
        self.hands.until(lambda: "patches" in status.shown_text() or not running.is_running)
        self._beside_run = int(self.rng.integers(1, 4))

    def _cancel(self) -> None:
        self._beside_run = 0
        if self.hands.review.running.is_running:
            self.hands.click(self.hands.dock.run.cancel_button)

    def _wait_for_run(self) -> None:
        self._beside_run = 0
        self.hands.until(lambda: not self.hands.review.running.is_running)

    def _find_nuclei(self) -> None:
        self._magnify(3)
        self.hands.key(Qt.Key.Key_D, SHIFT)
        self.hands.until(lambda: not self._nuclei().finding.is_running)

    def _cancel_nuclei(self) -> None:
        if not self.hands.dock.side_docks.is_shown("nuclei"):
            self._toggle_dock("nuclei")
        nuclei = self._nuclei()
        button = nuclei.panel.find_buttons["slide"]
        assert button.isEnabled(), button.toolTip()
        self._qtbot.mouseClick(button, self.hands.left)
        status = nuclei.panel.status
        self.hands.until(lambda: " nuclei" in status.shown_text() or not nuclei.finding.is_running)
        if nuclei.finding.is_running:
            self._qtbot.mouseClick(nuclei.panel.cancel_button, self.hands.left)

    def _nuclei(self):
        return self.hands.dock.side_docks.held("nuclei")
