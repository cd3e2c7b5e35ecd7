"""A review as a session records it, and a recorded one put back into the window."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_aln.store.session import NUCLEI
from napari_aln.workflows.slide.maps import MAP_STYLES, SCALING_NAMES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import JsonValue

    from napari_aln.store.session import SavedCamera, SavedMap
    from napari_aln.widgets.review import Review
    from napari_aln.widgets.state import ReviewState
    from napari_aln.workflows.review.session import Answered, Reopened
    from napari_aln.workflows.review.session import Review as ReviewRecord

DIFFERENCE = "difference"
"""What of the shown map a session's own record of maps has no place for."""


def record_of(review: Review, window: Mapping[str, JsonValue]) -> ReviewRecord:
    """Return everything the review is made of now. Answers that are kept back are left out.

    Parameters
    ----------
    review
        With an open slide.
    window
        How the window looks.
    """
    from napari_aln.workflows.review.session import Review as ReviewRecord

    state = review.state
    assert state.slide is not None
    return ReviewRecord(
        slide=state.slide.info,
        seen=state.seen,
        regions=review.roi.so_far,
        clinical=state.clinical,
        settings=state.settings,
        bundles=tuple(state.bundles.values()),
        chosen=tuple(state.bundles[key] for key in state.chosen.values()),
        answers=_answered(state),
        shown=_shown(review),
        camera=_camera(review),
        hide_names=state.hide_names,
        work_list=review.work_list,
        window={**window, DIFFERENCE: state.difference, NUCLEI: _nuclei(review)},
    )


def _answered(state: ReviewState) -> tuple[Answered, ...]:
    """Return each result once; one of which a run was answered anew since comes before the newer one."""
    from napari_aln.workflows.review.session import Answered

    results = {id(a.result): a for a in state.answers.values()}
    current = [
        sum(a.result is answer.result for a in state.answers.values()) == len(answer.result.runs)
        for answer in results.values()
    ]
    ordered = sorted(zip(current, results.values(), strict=True), key=lambda pair: pair[0])
    return tuple(Answered(a.request, a.seen, a.result) for _, a in ordered)


def _shown(review: Review) -> SavedMap | None:
    from napari_aln.store.session import SavedMap

    state, layer = review.state, review.scene.map
    if state.shown is None:
        return None
    run, name = state.shown
    return SavedMap(
        run=run,
        name=name,
        visible=layer.visible,
        opacity=layer.opacity,
        colour_map=state.colour_map,
        scaling=state.scaling,
        threshold=state.threshold,
    )


def _camera(review: Review) -> SavedCamera:
    from napari_aln.store.session import SavedCamera

    centre_l0_xy, zoom = review.scene.camera()
    return SavedCamera(centre_l0_xy=centre_l0_xy, zoom=zoom)


def _nuclei(review: Review) -> str | None:
    path = review.nuclei_file
    return None if path is None else str(path.absolute())


def show_reopened(review: Review, reopened: Reopened) -> None:
    """Put a reopened review in place of the present one. Names that are hidden stay hidden."""
    state, scene, again = review.state, review.scene, reopened.review
    state.hide_names = state.hide_names or again.hide_names
    review.take_slide(reopened.slide)
    if again.work_list is not None and again.work_list != review.work_list:
        review.list_asked.emit(again.work_list)  # first: it decides what may be shown
    state.load_exactly(again.bundles, again.chosen)
    if again.seen is not None:
        state.set_seen(again.seen)
    state.set_settings(again.settings)
    state.set_clinical(again.clinical)
    review.roi.start_from(again.regions)
    for answer in again.answers:
        state.add_result(answer.request, answer.seen, answer.result)
    shown = again.shown
    if shown is not None and shown.run in state.answers and shown.name in MAP_STYLES:
        scene.map.set_visible(shown.visible)
        if shown.opacity is not None:
            scene.map.set_opacity(shown.opacity)
        state.colour_map = shown.colour_map
        state.threshold = shown.threshold or 0.0
        state.scaling = next((s for s in SCALING_NAMES if s == shown.scaling), "unscaled")
        state.show(shown.run, shown.name)
        if again.window.get(DIFFERENCE) is True and state.pair() is not None:
            state.show_difference(True)
    if again.camera is not None:
        scene.set_camera(again.camera.centre_l0_xy, again.camera.zoom)
    nuclei = again.window.get(NUCLEI)
    if isinstance(nuclei, str) and Path(nuclei).exists():
        review.nuclei_asked.emit(Path(nuclei))
    elif isinstance(nuclei, str):
        review.told.emit("warning", "The nuclei are no longer where they were: open them where they are now.")
