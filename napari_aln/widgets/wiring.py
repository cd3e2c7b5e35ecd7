"""Who tells whom: what a panel asks goes to the review, what the state says goes to the panels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import shapely

from napari_aln.annotations import without_names
from napari_aln.settings.prediction import PredictSettings
from napari_aln.store.result import shown_name
from napari_aln.widgets.changes import changes, why_stale
from napari_aln.widgets.jobs import JobState
from napari_aln.widgets.later import Later
from napari_aln.widgets.panels.labels import show_if
from napari_aln.widgets.panels.region_list import RegionRow
from napari_aln.widgets.state import SHOWN_MAPS, in_use
from napari_aln.workflows.slide.compare import COMPARED_MAPS
from napari_aln.workflows.slide.maps import scale_extent

if TYPE_CHECKING:
    from pathlib import Path

    from napari_aln.records import Progress, Region
    from napari_aln.slides import Slide
    from napari_aln.widgets.dock import ReviewDock
    from napari_aln.workflows.slide.roi_file import RoiFile

CANCELLED = "Cancelled. What was extracted so far is kept: the same run goes on from there."

LAID_OVER = "A picture that is not the slide lies over it."
TAKE_AWAY = "F2 shows napari's layers: hide it there, or take it away."
CHECK_OUTLINE = "Look at the outline on the slide; Ctrl+Z takes it back."


class Wiring:
    """The connections of a dock's panels with its review. The dock keeps it: psygnal holds methods weakly.

    Parameters
    ----------
    dock
        Whose panels are connected, and show the state from now on.
    """

    def __init__(self, dock: ReviewDock) -> None:
        self.dock = dock
        self.review = dock.review
        self.state = dock.review.state
        self._slide: Slide | None = None  # that the panels show
        self._roi_file: RoiFile | None = None  # the one imported last
        self._about_import = ""  # what the banner said of it
        dock.map.set_opacity(self.review.scene.map.opacity)
        self._comparing = Later(self._show_comparison, dock)  # answers, map and regions ask for it
        self._area_of: tuple[tuple[Region, ...], float] | None = None  # regions, in level-0 pixels
        self._panels_to_review()
        self._review_to_panels()
        self._on_slide()
        self._on_bundles()
        self._on_case()
        self._on_answers()

    def _panels_to_review(self) -> None:
        dock, review, scene = self.dock, self.review, self.review.scene
        dock.navigation.magnify_requested.connect(scene.magnify)
        dock.navigation.fit_requested.connect(scene.fit)
        dock.navigation.overview.moved.connect(scene.centre_on)
        dock.navigation.layers_toggled.connect(dock.show_layers)
        dock.navigation.side_dock_toggled.connect(dock.side_docks.show)
        dock.navigation.measure_toggled.connect(dock.measuring.take)
        dock.navigation.measure_cleared.connect(dock.measuring.clear)
        dock.navigation.help_requested.connect(dock.show_help)
        dock.slide_card.open_requested.connect(dock.files.ask_for_slide)
        dock.slide_card.recent_requested.connect(review.open_slide)
        dock.slide_card.mpp_requested.connect(dock.ask_for_mpp)
        dock.slide_card.associated_requested.connect(review.show_associated)
        dock.slide_card.icc_toggled.connect(scene.slide.set_icc)
        dock.slide_card.hide_names_toggled.connect(review.set_hide_names)
        dock.slide_card.forget_requested.connect(review.forget_recent)
        dock.slide_card.session_open_requested.connect(dock.files.ask_for_session)
        dock.slide_card.session_save_requested.connect(dock.files.ask_where_to_save_session)
        dock.moved.chosen.connect(lambda _: dock.files.ask_where_slide_is())
        dock.moved.dismissed.connect(dock.keeping.let_go)
        dock.models.add_requested.connect(dock.files.ask_for_models)
        dock.models.demo_requested.connect(review.models.load_demo)
        dock.models.train_requested.connect(dock.show_training)
        dock.models.remove_requested.connect(review.models.remove)
        dock.models.chosen_changed.connect(lambda: self.state.choose(dock.models.chosen()))
        dock.clinical.changed.connect(
            lambda: review.set_clinical(dock.clinical.clinical(), dock.clinical.problem())
        )
        dock.clinical.table_requested.connect(dock.files.ask_for_table)
        dock.clinical.patient_requested.connect(dock.ask_for_patient)
        dock.roi.tool_requested.connect(review.roi.take)
        dock.roi.change_chosen.connect(review.roi.set_change)
        dock.roi.simplify_requested.connect(review.roi.simplify)
        dock.roi.undo_requested.connect(review.roi.undo)
        dock.roi.redo_requested.connect(review.roi.redo)
        dock.roi.region_toggled.connect(review.roi.set_in_use)
        dock.roi.regions.menu_requested.connect(dock.slide_menu.open_for)
        dock.roi.outlines_toggled.connect(review.roi.outlines.set_wanted)
        dock.roi.import_requested.connect(dock.files.ask_for_regions)
        dock.roi.origin.chosen.connect(self._on_origin)
        dock.roi.clear_requested.connect(review.clear_regions)
        dock.run.run_requested.connect(review.run)
        dock.run.cancel_requested.connect(review.cancel_run)
        dock.results.show_map_requested.connect(self._on_show_map)
        dock.results.save_requested.connect(dock.files.ask_where_to_save)
        dock.compare.difference_toggled.connect(self.state.show_difference)
        dock.compare.split_toggled.connect(dock.show_split)
        dock.settings.changed.connect(self._on_settings)
        dock.map.map_changed.connect(self.state.show)
        dock.map.visible_changed.connect(scene.map.set_visible)
        dock.map.opacity_changed.connect(scene.map.set_opacity)
        dock.map.colour_map_changed.connect(self.state.colour_by)
        dock.map.scaling_changed.connect(self.state.scale_by)
        dock.map.threshold_changed.connect(self.state.show_from)
        dock.map.mask_visible_changed.connect(scene.show_mask)
        dock.map.mask_edit_requested.connect(self._on_mask_edit)
        dock.map.mask_reset_requested.connect(review.reset_mask)

    def _review_to_panels(self) -> None:
        dock, review, state = self.dock, self.review, self.state
        state.slide_changed.connect(self._on_slide)
        state.overview_changed.connect(self._on_overview)
        state.bundles_changed.connect(self._on_bundles)
        state.case_changed.connect(self._on_case)
        state.answers_changed.connect(self._on_answers)
        state.live_changed.connect(self._on_live)
        state.shown_changed.connect(self._on_shown)
        state.blocked_changed.connect(self._show_readiness)
        review.roi.changed.connect(self._on_roi_tools)
        review.roi.previewed.connect(self._show_regions)
        review.failed.connect(self._on_failed)
        review.mended.connect(self._on_mended)
        review.told.connect(dock.log.add)
        review.napari_files.laid_over.connect(self._on_laid_over)
        review.mpp_wanted.connect(dock.ask_for_mpp)
        review.nuclei_asked.connect(dock.open_nuclei)
        review.table_asked.connect(dock.clinical_values.open)
        dock.clinical_values.source_changed.connect(dock.clinical.set_source)
        dock.clinical_values.choice_wanted.connect(dock.ask_for_patient)
        review.imported.connect(self._on_imported)
        review.importing.failed.connect(self._on_not_imported)  # after the review, which fills the banner
        review.session_asked.connect(dock.keeping.open)
        dock.keeping.slide_moved.connect(self._on_slide_moved)
        dock.keeping.told.connect(self._on_kept)
        dock.keeping.opening_changed.connect(self._on_session_opening)
        dock.keeping.saving_changed.connect(dock.slide_card.set_saving_session)
        review.list_asked.connect(dock.open_work_list)
        review.associated_ready.connect(dock.show_associated)
        review.slide_asked.connect(self._on_opening)
        review.opening.state_changed.connect(self._on_opening_state)
        review.running.state_changed.connect(self._on_run_state)
        review.saving.state_changed.connect(self._on_saving_state)
        review.saved.connect(self._on_saved)
        review.running.progressed.connect(self._on_progress)
        dock.measuring.changed.connect(self._on_measured)
        dock.side_docks.shown.connect(dock.navigation.set_side_dock_shown)
        review.scene.cursor_value.connect(dock.map.set_cursor_value)
        review.scene.view_changed.connect(self._on_view)
        review.scene.framed_changed.connect(self._show_power)
        review.hotspots.told.connect(self._on_no_hotspot)
        review.scene.map.look_changed.connect(self._on_map_look)

    def _on_slide(self) -> None:
        dock, slide = self.dock, self.state.slide
        if slide is not self._slide:  # else names were hidden or shown alone
            self._slide = slide
            dock.show_split(False)
        info = slide.info if slide else None
        dock.slide_card.set_slide(info, self.state.name)
        dock.slide_card.set_hide_names(self.state.hide_names)
        dock.slide_card.set_recent(dock.files.recent())
        dock.slide_card.set_icc_available(self.review.scene.slide.has_icc)
        dock.slide_card.set_icc(self.review.scene.slide.icc)
        dock.navigation.set_ready(slide_open=info is not None, scaled=bool(info and info.mpp))
        dock.roi.set_ready(slide_open=info is not None)
        dock.roi.origin.hide()
        self._show_readiness()

    def _on_overview(self) -> None:
        seen = self.state.seen
        self.dock.map.set_mask_available(seen is not None)
        self.dock.navigation.overview.set_picture(None if seen is None else seen.rgb)
        self._on_view()
        if seen is None:
            self.dock.map.set_mask_visible(False)
            self.dock.map.set_mask_editing(False)
        self._show_regions()
        self._show_stale()

    def _on_bundles(self) -> None:
        cards = {key: bundle.card for key, bundle in self.state.bundles.items()}
        self.dock.models.set_models(cards, self.state.chosen)
        self._show_regions()
        self._show_readiness()
        self._show_stale()

    def _on_case(self) -> None:
        self._show_regions()
        if self.dock.settings.values() != self.state.settings:
            self.dock.settings.set_values(self.state.settings)
        if self.state.clinical_problem is None and self.dock.clinical.clinical() != self.state.clinical:
            self.dock.clinical.set_clinical(self.state.clinical)
        self._show_readiness()
        self._show_stale()

    def _show_regions(self, regions: tuple[Region, ...] | None = None) -> None:
        """Say how large the ROI is; `regions`: as it would be if what is being drawn ended here."""
        shown = self.state.regions if regions is None else regions
        if self.state.hide_names:  # a region may be called after the patient
            shown = tuple(without_names(shown))
        roi = self.state.roi if regions is None else in_use(regions)
        area_mm2, mpp = None, self.state.slide.info.mpp if self.state.slide else None
        areas_mm2: list[float | None] = [None] * len(shown)
        if mpp is not None:
            px_mm2 = mpp.x * mpp.y * 1e-6
            if self._area_of is None or self._area_of[0] is not roi:
                self._area_of = roi, float(shapely.area(shapely.union_all([r.geometry for r in roi])))
            area_mm2 = self._area_of[1] * px_mm2
            areas_mm2 = [region.geometry.area * px_mm2 for region in shown]
        patches = self.review.roi.show_patches(roi)
        rows = [RegionRow(r.name, area, r.in_use) for r, area in zip(shown, areas_mm2, strict=True)]
        self.dock.roi.set_regions(rows, area_mm2, None if patches is None else len(patches))

    def _on_imported(self, read: RoiFile) -> None:
        self._roi_file = read
        self.dock.roi.offer_origin(read.about_origin, read.other or "")
        self._on_mended(self._about_import)
        if read.warnings:  # an outline that is not as it was drawn is seen, not only logged
            more = [f"And {len(read.warnings) - 3} more: see the log."] if len(read.warnings) > 3 else []
            self._about_import = self.review.without_paths(" ".join([*read.warnings[:3], *more]))
            self.dock.banner.show_warning(self._about_import, CHECK_OUTLINE)

    def _on_not_imported(self, _error: Exception) -> None:
        self._about_import = self.dock.banner.fact.shown_text()

    def _on_origin(self, _origin: str) -> None:
        read = self._roi_file
        if read is not None and read.other is not None:
            self.review.import_regions(read.path, read.other)

    def _on_roi_tools(self) -> None:
        roi = self.review.roi
        self.dock.roi.set_tools(roi.tool, can_undo=roi.can_undo, can_redo=roi.can_redo)

    def _on_answers(self) -> None:
        answers = self.state.answers
        self.dock.results.set_records(
            {run: answer.record for run, answer in answers.items()},
            {run: answer.result.warnings for run, answer in answers.items()},
        )
        self.dock.results.set_withheld(self.state.withheld, self.state.n_kept_back)
        runs = [(run, f"{run.upper()}, {answer.record.model_name}") for run, answer in answers.items()]
        self.dock.map.set_runs(runs, SHOWN_MAPS, withheld=self.state.n_kept_back > 0)
        if answers or self.state.n_kept_back:
            self.dock.reveal("Results")
        self._on_live()  # what was told of a run before it had its card
        self._show_stale()

    def _on_live(self) -> None:
        for run in self.state.answers:
            live = self.state.live.get(run)
            record = live.run.record if live and live.run else None
            pending = len(live.pending) if live else 0
            self.dock.results.set_live(run, record, pending, self.state.live_problems.get(run, ""))
        self._show_regions()
        self._comparing.ask()

    def _on_shown(self) -> None:
        shown = self.review.scene.shown
        self.dock.compare.set_difference(self.state.difference)
        if self.state.shown is None or shown is None:
            return
        self.dock.map.set_current(*self.state.shown)
        scale = self.state.list_scale(self.state.shown[1])
        self.dock.map.set_fixed_offered(scale if isinstance(scale, str) else "")
        self.dock.map.set_scaling(self.state.scaling)
        self.dock.map.set_threshold(self.state.threshold)
        if isinstance(shown, str):
            self.dock.map.set_nothing(shown)
        else:
            extent = scale_extent(shown.style)
            style = shown.style
            what = (style.quantity, style.unit, shown.limits, shown.colour_map, shown.source, extent)
            self.dock.map.set_legend(*what, how=shown.how)
        self._comparing.ask()

    def _show_comparison(self) -> None:
        state, pair = self.state, self.state.pair()
        show_if(self.dock.sections["Comparison"], pair is not None)
        if pair is None:
            self.dock.show_split(False)
            return
        name = state.shown[1] if state.shown and state.shown[1] in COMPARED_MAPS else COMPARED_MAPS[0]
        compared = state.comparison(name)
        if compared is None:
            return
        live = [run for run in pair if state.live.get(run)]
        stale = [run.upper() for run in pair if run not in live and changes(state, run)]
        note = f"Out of date: {' and '.join(stale)}, see its card." if stale else ""
        records = state.record_of(pair[0]), state.record_of(pair[1])
        self.dock.compare.set_comparison(compared, records, live=bool(live), stale=note)

    def _on_view(self) -> None:
        self.dock.navigation.overview.set_view(self.review.scene.view())
        self._show_power()

    def _show_power(self) -> None:
        self.dock.navigation.set_power(self.review.scene.power(), self.review.hotspots.text())

    def _on_no_hotspot(self, why: str) -> None:
        self.dock.navigation.set_power(self.review.scene.power(), why)
        self.dock.log.add("info", why)

    def _on_measured(self) -> None:
        self.dock.navigation.set_measured(on=self.dock.measuring.in_hand, text=self.dock.measuring.text)

    def _on_map_look(self, visible: bool, opacity: float) -> None:
        self.dock.map.set_visible(visible)
        self.dock.map.set_opacity(opacity)

    def _show_readiness(self) -> None:
        for kind in ("whole-slide", "roi"):
            self.dock.run.set_ready(kind, self.state.why_not(kind))

    def _show_stale(self) -> None:
        self._comparing.ask()
        self.dock.results.set_stale({run: why_stale(self.state, run) for run in self.state.answers})

    def _on_show_map(self, run: str) -> None:
        name = self.state.shown[1] if self.state.shown else SHOWN_MAPS[0]
        self.state.show(run, name)
        self.dock.reveal("Map")

    def _on_settings(self) -> None:
        self.state.set_settings(PredictSettings.model_validate(self.dock.settings.values()))

    def _on_mask_edit(self, on: bool) -> None:
        if on and self.review.scene.mask.layer is None:
            self.dock.map.mask_box.setChecked(True)
        self.review.scene.mask.edit(on)

    def _on_failed(self, fact: str, next_step: str) -> None:
        self.dock.banner.show_error(fact, next_step)
        self.dock.log.add("error", fact, next_step)

    def _on_laid_over(self) -> None:
        self.dock.banner.show_warning(LAID_OVER, TAKE_AWAY)
        self.dock.log.add("warning", LAID_OVER, TAKE_AWAY)

    def _on_mended(self, fact: str) -> None:
        if self.dock.banner.fact.shown_text() == fact:  # what else went wrong meanwhile stays
            self.dock.banner.hide()

    def _on_opening(self, path: Path) -> None:
        self.dock.banner.hide()
        self.dock.slide_card.set_opening("the slide" if self.state.hide_names else shown_name(path))

    def _on_opening_state(self, job: JobState) -> None:
        if job is not JobState.RUNNING:
            self.dock.slide_card.set_opening(None)

    def _on_run_state(self, job: JobState) -> None:
        texts = {JobState.CANCELLED: CANCELLED, JobState.FAILED: "Failed: see the message above and the log."}
        self.dock.run.set_state(job, texts.get(job, ""))
        if job is JobState.RUNNING:
            self.dock.banner.hide()

    def _on_saving_state(self, job: JobState) -> None:
        busy = job is JobState.RUNNING
        self.dock.results.set_saving(busy, "Saving…" if busy else "")

    def _on_saved(self, place: Path) -> None:
        text = f"Saved as {place.name}, with report.html."
        self.dock.results.set_saving(False, text, place / "report.html")
        self.dock.log.add("info", text)

    def _on_slide_moved(self, fact: str) -> None:
        self.dock.log.add("error", fact, "Say where the slide lies now.")
        self.dock.moved.offer(fact, (("find", "Where is it now?…", "Choose the slide's file"),))

    def _on_kept(self, text: str) -> None:
        self.dock.banner.show_info(text)
        self.dock.log.add("info", text)

    def _on_session_opening(self, opening: bool) -> None:
        if opening:
            self.dock.banner.hide()
            self.dock.moved.hide()
        self.dock.slide_card.set_opening("the session" if opening else None)

    def _on_progress(self, step: Progress) -> None:
        self.dock.run.show_progress(step.step, step.done, step.total, step.per_second, step.eta_s)
