"""What the open work list lets be shown: the model's numbers of a patient, and one scale for all slides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_aln.errors import AlnError
from napari_aln.widgets.state import NO_LIST
from napari_aln.workflows.slide.maps import ListScale, widest

if TYPE_CHECKING:
    from napari_aln.widgets.open_list import OpenList
    from napari_aln.widgets.state import ReviewState
    from napari_aln.workflows.review.worklist import PatientRun

NO_READER = "The model's numbers wait for your call: give your reader id first."
NOT_YET = "no slide of the list has this map yet"


class ListGate:
    """Asked by the review's state before any answer is shown; notes what a reader saw.

    Parameters
    ----------
    own
        The open list, its reader and the slide under review.
    state
        What asks.
    """

    def __init__(self, own: OpenList, state: ReviewState) -> None:
        self._own, self._state = own, state
        self._scales: dict[object, ListScale | str] = {}
        self._seen_by_nobody: set[int] = set()  # slides whose numbers were shown before a reader was named
        state.gate = self.why_not_shown
        state.list_scale = self.scale

    def forget(self) -> None:
        """Forget what was of another list."""
        self._seen_by_nobody.clear()
        self.forget_scales()

    def forget_scales(self) -> None:
        """Ask the list again for its colour scales."""
        self._scales.clear()

    def note_reader(self) -> None:
        """Note that the reader, just named, saw what was shown before.

        Raises
        ------
        WorkListError
            The list cannot be written.
        """
        if self._own.work_list is not None and self._own.reader_id:
            for item_id in self._seen_by_nobody:
                self._own.work_list.note_shown(item_id, self._own.reader_id)
            self._seen_by_nobody.clear()

    def why_withheld(self) -> str:
        """Return why no model numbers of the slide under review are shown, or nothing."""
        own = self._own
        work_list, item = own.work_list, own.current
        if work_list is None or item is None or not work_list.blinded:
            return ""
        if not own.reader_id:
            return NO_READER
        with own.telling():
            slides = work_list.slides_of_patient(item.item_id)
            if work_list.may_see(item.item_id, own.reader_id):
                return ""
            others = f" on all {len(slides)} slides of the patient" if own.calls(item.item_id) else ""
            return f"Withheld until your call{others}: this list is read blinded."
        return "Withheld: the work list cannot be read now."

    def why_not_shown(self, showing: bool) -> str:
        """Return why no answer may be shown; where one is about to be, note it first."""
        own, reason = self._own, self.why_withheld()
        if reason or not showing or own.work_list is None or own.current is None:
            return reason
        if not own.reader_id:
            self._seen_by_nobody.add(own.current.item_id)
            return ""
        try:
            own.work_list.note_shown(own.current.item_id, own.reader_id)
        except AlnError as error:
            if own.work_list.blinded:
                return own.without_paths(str(error))
            own.fail(error)
        return ""

    def patient_runs(self) -> tuple[PatientRun, ...]:
        """Return what the models say of the patient under review; counts as shown to the reader."""
        from napari_aln.workflows.review.worklist import patient_runs

        own = self._own
        work_list, item, reader_id = own.work_list, own.current, own.reader_id
        if work_list is None or item is None or not reader_id or self.why_withheld():
            return ()
        with own.telling():
            slides = work_list.slides_of_patient(item.item_id)
            return patient_runs({number: work_list.results(number, reader_id) for number in slides})
        return ()

    def scale(self, map_name: str) -> ListScale | str:
        """Return the colour scale of a map of the chosen models over all slides, or why there is none."""
        own, state = self._own, self._state
        if own.work_list is None:
            return NO_LIST
        bundles = [state.bundles[key] for key in state.chosen.values()]
        models = {(bundle.card.mode, bundle.sha256, bundle.card_sha256) for bundle in bundles}
        records = [answer.record for answer in state.answers.values()]
        models |= {(record.mode, record.model_sha256, record.card_sha256) for record in records}
        asked = map_name, frozenset(models)
        if asked not in self._scales:
            found: tuple[tuple[float, float], ...] = ()
            with own.telling():
                found = own.work_list.map_limits(map_name, models, own.reader_id)
            self._scales[asked] = ListScale(widest(found), len(found)) if found else NOT_YET
        return self._scales[asked]
