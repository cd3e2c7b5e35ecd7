"""The review: what the panels ask is done here, with one job for each kind of long work.

Owns the open slide, the jobs and the layers; science happens in the workflows, on the jobs' threads.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_aln.errors import AlnError, StoreError
from napari_aln.geometry import Mpp
from napari_aln.store.features import FeatureCache
from napari_aln.store.remembered import Remembered
from napari_aln.store.result import shown_name
from napari_aln.widgets.dropped import ONE_AT_A_TIME, SLIDE_PATH, sort_files
from napari_aln.widgets.hotspots import Hotspots
from napari_aln.widgets.jobs import Job, Precedence
from napari_aln.widgets.live import Live
from napari_aln.widgets.memory import Memory
from napari_aln.widgets.models import Models
from napari_aln.widgets.napari_files import NapariFiles
from napari_aln.widgets.roi_editing import RoiEditing
from napari_aln.widgets.scene import Scene
from napari_aln.widgets.state import ReviewState
from napari_aln.widgets.warming import Warming
from napari_aln.workflows.review import steps

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_aln.annotations.statement import Origin
    from napari_aln.records import Clinical, SlideResult
    from napari_aln.slides import Slide
    from napari_aln.widgets.state import Kind
    from napari_aln.workflows.predict import Request
    from napari_aln.workflows.slide.prepare import Overview
    from napari_aln.workflows.slide.roi_file import RoiFile

OPEN_RESULT = "Open its report.html in a browser; a session, or its slide, goes on with the review."
REPORT = "If it happens again, please report it with the log."


class Review(QObject):
    """One review in one viewer.

    Parameters
    ----------
    viewer
        Where slide and maps are shown.
    remembered
        What is kept between starts; left out: the user's own.
    """

    failed = Signal(str, str)  # fact and next step, for the user
    mended = Signal(str)  # the fact of a failure that is none any more
    told = Signal(str, str)  # "info" or "warning", and a line for the log
    slide_asked = Signal(object)  # pathlib.Path: it is being opened
    answered = Signal(object)  # SlideResult: a run ended; said before anything of it is shown
    list_asked = Signal(object)  # pathlib.Path: a work list
    session_asked = Signal(object)  # pathlib.Path: a session file
    nuclei_asked = Signal(object)  # pathlib.Path: a table of nuclei
    table_asked = Signal(object)  # pathlib.Path: a table of patients
    mpp_wanted = Signal()  # the slide does not say its µm/px
    imported = Signal(object)  # RoiFile: it may count from another origin
    saved = Signal(object)  # pathlib.Path: the result folder
    associated_ready = Signal(object)  # dict name -> (H, W, 3) uint8
    scene: Scene
    roi: RoiEditing
    hotspots: Hotspots

    def __init__(self, viewer: ViewerModel, remembered: Remembered | None = None) -> None:
        super().__init__()
        self.remembered = remembered or Remembered()
        self.state = ReviewState()
        self.state.hide_names = self.remembered.hide_names
        self.scene = Scene(viewer, self.state)
        self.roi = RoiEditing(viewer, self.scene, self.state)
        self.hotspots = Hotspots(self.scene)
        self.live = Live(self.state, self.cache, self.without_paths, self)
        self.live.failed.connect(self.on_error)
        self.scene.slide_removed.connect(self._on_slide_removed)
        self.scene.trouble.connect(self.on_error)
        self.scene.noted.connect(self._on_noted)
        self.jobs: list[Job] = []
        self._slide_first = Precedence(self)
        self.models = Models(self.state, self.remembered, self.remember, self.new_job)
        self.models.failed.connect(self.on_error)
        self.models.told.connect(self.told)
        self.models.loaded.connect(self._run_next)
        self.opening = self.new_job("open", self._on_opened, urgent=True)
        self._slide_first.follow(self.opening)
        self.napari_files = NapariFiles(viewer, self.state, self.scene, self.opening)
        self.napari_files.chosen.connect(self.open_files)
        self.surveying = self.new_job("survey", self._on_surveyed)
        self.importing = self.new_job("import", self._on_imported)
        self.peeking = self.new_job("peek", self.associated_ready.emit)
        self.running = self.new_job("run", self._on_result)
        self.saving = self.new_job("save", self.saved.emit)
        self._warming = Warming(self.new_job)
        self.memory = Memory(self)
        for job in (self.opening, self.running):
            self.memory.follow(job)
        self._asked: tuple[Request, Overview | None] | None = None  # by the run that is under way
        self.work_list: Path | None = None  # that is open beside the review
        self._slide_path: Path | None = None  # asked for last, and so of what messages name
        self._regions_path: Path | None = None
        self.nuclei_path: Path | None = None  # asked for last
        self.nucleus_model_path: Path | None = None
        self.nuclei_file: Path | None = None  # that holds the nuclei which are shown
        self._regions_to_come: Path | None = None  # of the slide that is being opened
        self._clinical_to_come: Clinical | None = None
        self._runs_to_come: list[Kind] = []

    def new_job(self, name: str, on_done: Callable[[Any], None], *, urgent: bool = False) -> Job:
        """Return a job whose errors are shown, and which ends with the review."""
        job = Job(name, self, None if urgent else self._slide_first)
        job.done.connect(on_done)
        job.failed.connect(self.on_error)
        self.jobs.append(job)
        return job

    # What the panels ask

    def open_files(self, paths: Sequence[Path]) -> None:
        """Take files of any kind: one slide, model bundles, one annotation file."""
        files = sort_files(paths)
        if files.bundles:
            self.models.load(files.bundles)
        if files.lists:
            self.list_asked.emit(files.lists[0])
        if files.tables:
            self.table_asked.emit(files.tables[0])
        if files.nuclei:
            self.nuclei_asked.emit(files.nuclei[0])
        if files.sessions:
            self.session_asked.emit(files.sessions[0])
        if files.results:
            name = "This" if self.state.hide_names else shown_name(files.results[0])
            self.failed.emit(f"{name} is a result of this program, no slide.", OPEN_RESULT)
        if files.slides:
            self.open_slide(files.slides[0])
        for path in files.regions[:1]:
            self.import_regions(path)
        if left_out := files.left_out(hide_names=self.state.hide_names):  # last: a slide clears the banner
            self.failed.emit(left_out, ONE_AT_A_TIME)

    def open_demo(self, *, and_run: bool = False) -> None:
        """Put the demonstration under review: slide, ROI, clinical values, both models; run both if asked."""
        from napari_aln.workflows.demo import ROI, SLIDE, demo_clinical, sample_path

        self.open_case(sample_path(SLIDE), sample_path(ROI), demo_clinical())
        self.models.load_demo()
        self._runs_to_come = ["whole-slide", "roi"] if and_run else []

    def open_case(self, path: Path, roi: Path | None, clinical: Clinical | None) -> None:
        """Open a slide with its ROI file and its patient's clinical values, where they are known."""
        self.open_slide(path)
        self._clinical_to_come = clinical
        if roi is not None:
            self.import_regions(roi)

    def open_slide(self, path: Path, mpp: Mpp | None = None) -> None:
        """Open a slide in place of the one before."""
        self._leave_slide()
        self._regions_to_come = self._clinical_to_come = None  # of a slide that did not open
        self._slide_path = path
        self.slide_asked.emit(path)
        self.opening.start(partial(steps.open_for_review, path, mpp, self.remembered))

    def cancel_run(self) -> None:
        """End the run that is under way, and those that were to follow it."""
        self._runs_to_come = []
        self.running.cancel()

    def _leave_slide(self) -> None:
        self._runs_to_come = []
        if self.running.is_running:
            self.running.cancel()
            self.told.emit("warning", "The run was cancelled, because another slide is opened.")
        else:
            self.running.reset()  # how the last one ended says nothing of this slide
        self.surveying.reset()

    def take_slide(self, slide: Slide) -> None:
        """Put an open slide of a session under review: what was on its way for the one before is dropped."""
        self._leave_slide()
        for job in (self.opening, self.models.loading, self.importing):
            job.reset()
        self._slide_path = slide.info.path
        self._show_slide(slide)

    def take_layer(self, layer: Layer) -> None:
        """Open the file that a layer was read from, in the layer's place."""
        known = layer.metadata.get(SLIDE_PATH) or layer.source.path
        if not known:
            self.failed.emit(
                f"The layer '{layer.name}' was not read from a file.", "Open the slide's file instead."
            )
            return
        self.scene.take_out(layer)
        self.open_slide(Path(known))

    def set_mpp(self, um_per_px: float) -> None:
        """Note the µm/px the user gave, and open the slide with it."""
        if self.state.slide is None:
            return
        mpp = Mpp(um_per_px, um_per_px)
        info = self.state.slide.info
        self.remember(partial(self.remembered.remember_mpp, info.quick_hash, mpp))
        self.open_slide(info.path, mpp)

    def import_regions(self, path: Path, origin: Origin | None = None) -> None:
        """Take the tumour ROI from an annotation file; waits for a slide that is being opened.

        `origin`: what the file counts from, as the user says.
        """
        self._regions_path = path
        if self.opening.is_running:
            self._regions_to_come = path
        elif self.state.slide is None:
            fact = f"{path.name} holds regions, but no slide is open."
            self.failed.emit(self.without_paths(fact), "Open its slide first.")
        else:
            self.importing.start(partial(steps.load_regions, self.state.slide.info, path, origin))

    def clear_regions(self) -> None:
        """Drop the tumour ROI."""
        self.roi.set_regions(())

    def reset_mask(self) -> None:
        """Find the tissue anew, without what was painted."""
        if self.state.slide is not None:
            self.surveying.start(partial(steps.survey_file, self.state.slide.info))

    def run(self, kind: Kind) -> None:
        """Start a run of the chosen models of a kind; what is missing is said instead."""
        missing = self.state.why_not(kind)
        slide = self.state.slide
        if missing or slide is None:
            self.failed.emit(missing or "", "Then press the button again.")
            return
        request = self.state.request(kind, self.cache())
        self._asked = request, self.state.seen
        self.running.start(partial(steps.predict_file, slide.info, request, self.state.seen))

    def show_associated(self) -> None:
        """Read label and macro; they may show patient data, so only one explicit click leads here."""
        if self.state.slide is not None:
            self.peeking.start(partial(steps.associated_images, self.state.slide.info))

    def save_results(self, out: Path) -> None:
        """Write all answers as one result folder, which names the slide's file nowhere."""
        answers = self.state.answers
        if self.state.slide is None or not answers:
            return
        results = [replace(answer.result, runs=(answer.record,)) for answer in answers.values()]
        cards = {run: answer.bundle.card for run, answer in answers.items()}
        self.saving.start(partial(steps.save_review, self.state.slide.info, results, cards, out))

    def set_clinical(self, clinical: Clinical, problem: str | None) -> None:
        """Note the clinical values."""
        self.state.set_clinical(clinical, problem)

    def set_hide_names(self, hide: bool) -> None:
        """Show file names, or aliases that tell nothing."""
        self.state.hide_names = hide
        self.remember(partial(self.remembered.remember_hide_names, hide))
        self.state.slide_changed.emit()

    def forget_recent(self) -> None:
        """Drop the list of recent slides."""
        self.remember(self.remembered.forget_slides)
        self.state.slide_changed.emit()

    def close(self) -> None:
        """Stop all work, let go of the slide and of the viewer."""
        for job in self.jobs:
            job.close()
        self.memory.close()
        self.live.close()
        self.napari_files.close()
        self.roi.close()
        self.scene.close()
        if self.state.slide is not None:
            self.state.slide.close()
            self.state.slide = None

    # What the jobs answer

    def _on_opened(self, slide: Slide) -> None:
        self._show_slide(slide)
        if slide.info.mpp is not None:
            self.surveying.start(partial(steps.survey_file, slide.info))
        clinical, self._clinical_to_come = self._clinical_to_come, None
        if clinical is not None:
            self.state.set_clinical(clinical)
        path, self._regions_to_come = self._regions_to_come, None
        if path is not None:
            self.import_regions(path)

    def _show_slide(self, slide: Slide) -> None:
        before = self.state.slide
        self.remember(partial(self.remembered.remember_slide, slide.info.path))
        self.scene.show_slide(slide)
        self.state.set_slide(slide)
        if before is not None:
            before.close()
        for warning in slide.info.warnings:
            self.told.emit("warning", warning)
        if slide.info.mpp is None:
            self.mpp_wanted.emit()

    def _on_surveyed(self, seen: Overview) -> None:
        self.state.set_seen(seen)

    def _on_imported(self, read: RoiFile) -> None:
        for warning in (*read.warnings, *([read.about_origin] if read.other else [])):
            self.told.emit("warning", warning)
        if read.regions or read.other is None:
            self.roi.set_regions(read.regions)
        self.imported.emit(read)
        self._run_next()

    def _on_result(self, result: SlideResult) -> None:
        if self._asked is None:
            return
        self.answered.emit(result)
        self.state.add_result(*self._asked, result)
        warnings = [*result.warnings, *(w for r in result.runs for w in r.warnings)]
        for warning in () if self.state.withheld else dict.fromkeys(warnings):
            self.told.emit("warning", warning)
        self._run_next()

    def _run_next(self) -> None:
        """Start the next of the runs that were asked for together, as soon as everything for it is there."""
        busy = any(
            job.is_running for job in (self.opening, self.models.loading, self.importing, self.running)
        )
        if self._runs_to_come and not busy and self.state.why_not(self._runs_to_come[0]) is None:
            self.run(self._runs_to_come.pop(0))

    def _on_slide_removed(self) -> None:
        if self.running.is_running:
            self.running.cancel()
            self.told.emit("warning", "The run was cancelled, because the slide was removed.")
        self.surveying.reset()
        slide = self.state.slide
        self.state.set_slide(None)
        if slide is not None:
            slide.close()

    def _on_noted(self, layer: Layer, line: str) -> None:
        if not self.napari_files.takes(layer):  # else it does not stay
            self.told.emit("warning", line)

    def on_error(self, error: Exception) -> None:
        """Show what went wrong."""
        if isinstance(error, AlnError):
            self.failed.emit(self.without_paths(error.fact), error.next_step)
        else:
            self.failed.emit(f"Something went wrong: {type(error).__name__}: {error}.", REPORT)

    def without_paths(self, text: str) -> str:
        """Name files without their folders, and not at all where names are hidden."""
        for path in self.models.asked_paths:
            name = "this model's file" if self.state.hide_names else shown_name(path)
            text = text.replace(str(path), name)
        for own in (self._slide_path, self._regions_path, self.nuclei_path, self.nucleus_model_path):
            if own is not None:
                name = "this file" if self.state.hide_names else shown_name(own)
                text = text.replace(str(own), name)
                text = text.replace(own.name, name) if self.state.hide_names else text
        return text[:1].upper() + text[1:] if text.startswith("this ") else text

    # What is kept

    def cache(self) -> FeatureCache | None:
        """Return where features are kept; None, with a line in the log, where that is not possible."""
        try:
            return FeatureCache()
        except StoreError as error:
            self.told.emit("warning", f"Features are not kept for the next run. {error}")
            return None

    def remember(self, keep: Callable[[], None]) -> None:
        """Keep something for the next start; not being able to costs a line in the log, no more."""
        try:
            keep()
        except StoreError as error:
            self.told.emit("warning", f"This is not remembered. {error}")
