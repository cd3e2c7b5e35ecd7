"""The nuclei of the slide under review: found, opened, shown, chosen and written."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from napari.qt import QtViewer
from qtpy.QtWidgets import QVBoxLayout, QWidget
from shapely.geometry import box

from napari_aln.nuclei.located import LocatedNuclei, within
from napari_aln.nuclei.outlines import Outlines
from napari_aln.nuclei.segmentation import DEFAULT_METHOD
from napari_aln.nuclei.table import NUCLEI_PARQUET
from napari_aln.records import Progress, Region
from napari_aln.settings.nuclei import NucleiSettings
from napari_aln.store.result import shown_name
from napari_aln.widgets.dropped import NUCLEI_SUFFIX
from napari_aln.widgets.jobs import JobState
from napari_aln.widgets.nuclei_contrast import ByAttention
from napari_aln.widgets.nuclei_method import MethodChoice
from napari_aln.widgets.nuclei_outlines import OutlineReading
from napari_aln.widgets.nuclei_scene import NucleiScene
from napari_aln.widgets.panels.canvas_label import CanvasLabel
from napari_aln.widgets.panels.file_dialogs import ask_for_files, ask_where_to_write, kinds
from napari_aln.widgets.panels.labels import count
from napari_aln.widgets.panels.nuclei_panel import NucleiPanel
from napari_aln.widgets.panels.run_panel import progress_line
from napari_aln.widgets.shown import ShownMap
from napari_aln.workflows.nuclei import view as nuclei_view
from napari_aln.workflows.nuclei.view import DENSITY, NUCLEUS_STYLES, SlideNuclei
from napari_aln.workflows.review import steps
from napari_aln.workflows.slide.maps import from_the_top

if TYPE_CHECKING:
    from pathlib import Path

    from napari.components import ViewerModel
    from numpy.typing import NDArray
    from qtpy.QtGui import QHideEvent

    from napari_aln.records import PatchTable
    from napari_aln.widgets.review import Review
    from napari_aln.workflows.nuclei.work import MeasuredNuclei, NucleiFound

GROWS_BY = 1.3  # nuclei are shown anew as soon as there are so many times more
SAID = ("area_um2", "circularity", "major_axis_um", "haematoxylin_mean", "nearest_um")
"""What is said of the nucleus under the mouse, beside what colours show."""

SCOPE_NAMES = {
    "view": "the view",
    "roi": "the tumour ROI",
    "top": "the top patches",
    "slide": "the whole slide",
}
BUSY = "A model runs on the slide: wait, or cancel it."
PARTLY_MEASURED = "Only a part was measured: find the nuclei again, to the end."
PARTLY = "Cancelled. Shown are the nuclei found so far; distances to neighbours end at each tile's edge."


class Nuclei(QWidget):
    """Keeps panel and canvas in step with the nuclei of the slide.

    Parameters
    ----------
    review
        Whose slide it is.
    viewer
        Where they are shown.
    """

    def __init__(self, review: Review, viewer: ViewerModel) -> None:
        super().__init__()
        self.review, self.state, self.scene = review, review.state, review.scene
        self.panel = NucleiPanel(nuclei_view.shipped_methods())
        self.panel.set_method(DEFAULT_METHOD)
        self.colours = self.panel.colours
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.panel)
        self.view = NucleiScene(viewer, review.scene, OutlineReading(review))
        self.shown: SlideNuclei | None = None
        self.finding = review.new_job("nuclei", self._on_found)
        self.finding.progressed.connect(self._on_progress)
        self.finding.state_changed.connect(self._on_state)
        review.memory.follow(self.finding)
        self.opening = review.new_job("open nuclei", self._on_opened)
        self.saving = review.new_job("save nuclei", self._on_saved)
        self.by_attention = ByAttention(review, self)
        self.choosing = MethodChoice(review, self.panel)
        self._scope, self._method = "view", ""  # of the work that is under way, or was
        self._parts: list[NucleiFound] = []  # of the work that is under way
        self._n_shown = 0  # nuclei of it
        self._label: CanvasLabel | None = None
        panel = self.panel
        panel.find_requested.connect(self.find_in)
        panel.cancel_requested.connect(self.finding.cancel)
        panel.open_requested.connect(self._ask_for_file)
        panel.export_requested.connect(self._ask_where)
        panel.contrast_requested.connect(self._on_contrast)
        self.colours.feature_changed.connect(self._on_colouring)
        self.colours.colour_map_changed.connect(self._on_colouring)
        self.colours.visible_changed.connect(self.view.set_visible)
        self.colours.opacity_changed.connect(self.view.set_opacity)
        panel.filter.changed.connect(self._on_filter)
        panel.table.chosen.connect(self._on_chosen)
        self.view.hovered.connect(self._on_hovered)
        self.view.clicked.connect(self._on_clicked)
        self.view.drawn.connect(self._on_drawn)
        self.scene.slide_leaving.connect(self._on_slide_leaving)
        for changed in (
            self.state.slide_changed,
            self.state.case_changed,
            self.state.answers_changed,
            self.state.shown_changed,
            self.state.blocked_changed,
        ):
            changed.connect(self._show_ready)
        review.running.state_changed.connect(self._on_run_state)
        self.destroyed.connect(self.view.close)
        self._on_colouring()
        self._show_ready()

    # What can be looked for

    def _show_ready(self) -> None:
        slide = self.state.slide
        common = ""
        if slide is None:
            common = "Open a slide first."
        elif slide.info.mpp is None:
            common = "The slide's µm/px is missing: set it first."
        elif self.review.running.is_running:
            common = BUSY
        reasons = dict.fromkeys(SCOPE_NAMES, common)
        if not common:
            reasons["roi"] = "" if self.state.roi else "Draw or import a tumour ROI first."
            reasons["top"] = "" if isinstance(self.scene.shown, ShownMap) else "Run a model first."
        self.panel.set_ready(reasons)
        partly = self.shown is not None and not self.shown.complete
        why_not = PARTLY_MEASURED if partly else "" if self.state.answers else "Run a model first."
        self.panel.set_contrast_ready(why_not)

    def _on_run_state(self, _state: JobState) -> None:
        self._show_ready()

    def find_in(self, scope: str) -> None:
        """Look for nuclei in the view, the ROI, the map's top patches or the whole slide."""
        slide = self.state.slide
        if slide is None or slide.info.mpp is None or self.review.running.is_running:
            self._show_ready()
            return
        regions: tuple[Region, ...] | None = None
        patches: PatchTable | None = None
        if scope == "view":
            regions = (self._view_region(),)
        elif scope == "roi":
            regions = self.state.roi
        elif scope == "top":
            patches = self._top_patches()
            if patches is None:
                return
        settings = NucleiSettings(method=self.panel.method)
        self._scope, self._parts, self._n_shown = scope, [], 0
        self._method = self.panel.method_title
        self.panel.warning.set_text("")
        work = partial(steps.find_nuclei, slide.info, settings, self.state.seen, regions, patches)
        self.finding.start(work)

    def _view_region(self) -> Region:
        assert self.state.slide is not None
        view = self.scene.view() or (0.0, 0.0, 1.0, 1.0)
        across, down = self.state.slide.info.size_px
        left, top = max(view[0], 0.0) * across, max(view[1], 0.0) * down
        right, low = min(view[0] + view[2], 1.0) * across, min(view[1] + view[3], 1.0) * down
        return Region(box(left, top, max(right, left), max(low, top)), name="view")

    def _top_patches(self) -> PatchTable | None:
        shown = self.scene.shown
        if not isinstance(shown, ShownMap):
            return None
        return shown.table.take(from_the_top(shown.all_values)[: self.review.hotspots.n])

    # What the work says

    def _on_state(self, state: JobState) -> None:
        partly = state is JobState.CANCELLED and any(len(part.table) for part in self._parts)
        texts = {
            JobState.RUNNING: "Begins …",
            JobState.CANCELLED: PARTLY if partly else "Cancelled.",
            JobState.FAILED: "Failed: see the message beside the slide and the log.",
        }
        self.panel.set_state(state, texts.get(state, ""))
        if partly:
            self._show_parts("cancelled")

    def _on_progress(self, step: Progress) -> None:
        from napari_aln.workflows.nuclei.work import NucleiFound

        if not isinstance(step, NucleiFound):
            self.panel.show_progress(0.0, f"{step.step.capitalize()} …")
            return
        self._parts.append(step)
        text = progress_line("tiles", step.done, step.total, step.per_second, step.eta_s)
        self.panel.show_progress(step.done / step.total, f"{text} · {count(step.nuclei)} nuclei")
        if step.nuclei > GROWS_BY * self._n_shown and step.done < step.total:
            self._show_parts("so far")

    def _show_parts(self, how: str) -> None:
        """Show what the tiles held up to now."""
        import pandas as pd

        slide = self.state.slide
        filled = [part for part in self._parts if len(part.table)]
        if slide is None or slide.info.mpp is None or not filled:
            return
        outlines = Outlines(
            np.concatenate([part.outlines.label for part in filled]),
            np.concatenate([part.outlines.geometry for part in filled]),
        )
        table = pd.concat([part.table for part in filled], ignore_index=True)
        nuclei = LocatedNuclei(table, slide.info.mpp, outlines)
        source = f"In {SCOPE_NAMES[self._scope]}, {self._method}, {how}"
        scope = filled[-1].scope
        shown = SlideNuclei(nuclei, source, (), scope.outline, scope.measured, complete=False)
        self.show_nuclei(shown, same_work=self._n_shown > 0)
        self._n_shown = len(nuclei)

    def _on_found(self, measured: MeasuredNuclei) -> None:
        self._parts = []
        nuclei = LocatedNuclei(measured.table, measured.mpp, measured.outlines)
        density = f", {count(round(measured.density_per_mm2))} per mm²" if measured.area_mm2 else ""
        source = f"In {SCOPE_NAMES[self._scope]}: {measured.area_mm2:.3g} mm²{density}; {measured.method}"
        scope = measured.scope
        shown = SlideNuclei(
            nuclei, source, measured.warnings, scope.outline, scope.measured, found_by=measured.found_by
        )
        self.show_nuclei(shown, same_work=self._n_shown > 0)

    # Files

    def open_file(self, path: Path) -> None:
        """Show the nuclei of a file, which must be of the slide that is open."""
        self.review.nuclei_path = path
        slide = self.state.slide
        if self.review.opening.is_running or slide is None:
            self.review.failed.emit(f"{self._shown(path)} holds nuclei.", "Open its slide first.")
            return
        self.finding.reset()
        self.opening.start(partial(nuclei_view.open_nuclei, slide.info, path, self.state.seen))

    def _shown(self, path: Path) -> str:
        return "The file" if self.state.hide_names else shown_name(path)

    def _on_opened(self, opened: SlideNuclei) -> None:
        self.show_nuclei(opened)
        self.review.nuclei_file = self.review.nuclei_path

    def _ask_for_file(self) -> None:
        wanted = kinds("Nuclei", (NUCLEI_SUFFIX,))
        ask_for_files(
            self, "Open nuclei of this slide", wanted, lambda paths: self.open_file(paths[0]), several=False
        )

    def _ask_where(self) -> None:
        ask_where_to_write(
            self,
            "Export nuclei",
            "Nuclei",
            NUCLEI_PARQUET,
            self.save,
            suffixes=nuclei_view.SUFFIXES,
        )

    def save(self, path: Path) -> None:
        """Write all nuclei; the name's suffix says as what."""
        slide = self.state.slide
        if slide is not None and self.shown is not None:
            self.review.nuclei_path = path
            self.saving.start(partial(nuclei_view.save_nuclei, slide.info, self.shown, path))

    def _on_saved(self, path: Path) -> None:
        if path.suffix.lower() == NUCLEI_SUFFIX and self.shown is not None and self.shown.complete:
            self.review.nuclei_file = path
        text = "Nuclei written." if self.state.hide_names else f"Nuclei written to {shown_name(path)}."
        self.panel.status.set_text(text)
        self.review.told.emit("info", text)

    def _on_contrast(self) -> None:
        if self.shown is not None:
            self.by_attention.compare(self.shown)

    # What is shown

    def show_nuclei(self, shown: SlideNuclei | None, *, same_work: bool = False) -> None:
        """Show nuclei in place of those before; None: none. `same_work`: they are more of those before."""
        self.shown, self.review.nuclei_file = shown, None
        self._show_ready()
        nuclei = None if shown is None else shown.nuclei
        table = None if nuclei is None else nuclei.table
        slide = self.state.slide
        self.panel.table.set_table(table)
        self.panel.filter.set_extents({} if shown is None else shown.extents, keep=same_work)
        self.panel.set_count(None if nuclei is None else len(nuclei), "" if shown is None else shown.source)
        warnings = () if shown is None else shown.warnings
        self.panel.warning.set_text("\n".join(text.partition(": ")[2] for text in warnings))
        for warning in warnings:
            self.review.told.emit("warning", warning)
        size_l0 = (1, 1) if slide is None else slide.info.size_px
        measured = None if shown is None else shown.measured
        self.view.show(nuclei if nuclei is not None and len(nuclei) else None, size_l0, measured)
        if shown is not None and self.panel.filter.ranges():
            self._on_filter(self.panel.filter.ranges())
        self._show_legend()

    def _on_slide_leaving(self) -> None:
        self.finding.reset()
        self.opening.reset()
        self._parts = []
        self.show_nuclei(None)
        self.panel.set_state(JobState.IDLE)

    def _on_colouring(self, _choice: str = "") -> None:
        self.view.colour_by(self.colours.feature, self.colours.colour_map)
        self._show_legend()

    def _on_drawn(self) -> None:
        self._show_legend()
        self._on_hovered(self.view.under_mouse)

    def _show_legend(self) -> None:
        plain = self.view.near and self.colours.feature == DENSITY
        how = ""
        if self.shown is not None and not self.view.near and self.view.cell_um:
            mean = "" if self.colours.feature == DENSITY else "mean "
            how = f", {mean}in squares of {self.view.cell_um:g} µm"
        self.colours.set_legend(None if plain else self.view.limits, how)
        if plain:
            self.colours.quantity.set_text("Outlines; zoom out for nuclei per mm², or colour by a measure")

    def _on_filter(self, ranges: dict[str, tuple[float | None, float | None]]) -> None:
        if self.shown is None:
            return
        kept = within(self.shown.nuclei.table, ranges) if ranges else None
        self.panel.table.keep(kept)
        self.view.keep(kept)
        self.view.choose(np.zeros(0, np.intp))
        self.panel.set_count(len(self.shown.nuclei), self.shown.source)

    # Choosing, by table and by canvas

    def _on_chosen(self, rows: NDArray[np.intp]) -> None:
        self.view.choose(rows)
        if len(rows) == 1:
            self.view.fly_to(int(rows[0]))

    def _on_clicked(self, row: int | None) -> None:
        self.view.choose(np.array([] if row is None else [row], np.intp))
        self.panel.table.choose(row)

    def _on_hovered(self, row: int | None) -> None:
        value = self.view.value_at_cursor()
        what = "no nucleus" if value is None else nuclei_view.value_text(self.colours.feature, value)
        self.colours.set_cursor(value, f"At the cursor: {what}")
        text = ""
        if row is not None and self.shown is not None:
            coloured = () if self.colours.feature == DENSITY else (self.colours.feature,)
            names = dict.fromkeys((*coloured, *SAID))
            values = self.shown.nuclei.table.iloc[row]
            lines = [f"Nucleus {int(values['label'])}"]
            lines += [
                f"{NUCLEUS_STYLES[name].quantity}: {nuclei_view.value_text(name, float(values[name]))}"
                for name in names
            ]
            text = "\n".join(lines)
        self._say(text)

    def _say(self, text: str) -> None:
        """Say something beside the mouse, while the panel is to be seen."""
        if self.visibleRegion().isEmpty():  # a tab behind another counts as visible
            text = ""
        if self._label is None:
            canvas = self.window().findChild(QtViewer) if text else None  # a window that goes is not asked
            if canvas is None:
                return
            self._label = CanvasLabel("nucleus_label", canvas.canvas.native)
        self._label.say(text)

    def hideEvent(self, event: QHideEvent) -> None:
        """Say nothing beside the mouse when nobody sees the panel."""
        super().hideEvent(event)
        self._say("")

    def on_dock_shown(self, _name: str, shown: bool) -> None:
        """Say nothing beside the mouse either when another dock's tab is in front."""
        if not shown:
            self._say("")
