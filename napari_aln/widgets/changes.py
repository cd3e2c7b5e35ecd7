"""What changed since a run, and whether its model can be asked again at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_aln.settings.prediction import PredictSettings
from napari_aln.widgets.state import key_of

if TYPE_CHECKING:
    from napari_aln.mil.bundle import Bundle
    from napari_aln.widgets.state import ReviewState

MODEL, ROI, MASK, CLINICAL, SETTINGS = (
    "the chosen model",
    "the ROI",
    "the tissue mask",
    "clinical values",
    "settings",
)
"""What may have changed since a run."""

NO_FEATURES = "No live answer: this run's features are no longer kept. Run it again, and it answers at once."


def changes(state: ReviewState, run: str) -> list[str]:
    """Return what changed since a run; nothing while its answer is that of the present question."""
    answer = state.answers[run]
    asked, bundle = answer.request, answer.bundle
    mode = bundle.card.mode
    changed = []
    if state.chosen.get(mode) != key_of(bundle):
        changed.append(MODEL)
    if mode != "dlcnbc-ws" and asked.regions != state.roi:
        changed.append(ROI)
    if mode == "dlcnbc-ws" and state.seen and state.seen.has_another_mask(answer.seen):
        changed.append(MASK)
    if bundle.card.clinical and asked.clinical != state.clinical:
        changed.append(CLINICAL)
    if _what_counts(bundle, asked.settings) != _what_counts(bundle, state.settings):
        changed.append(SETTINGS)
    return changed


def why_stale(state: ReviewState, run: str) -> str | None:
    """Return what changed since a run as a sentence, or None."""
    changed = changes(state, run)
    return f"Changed since this run: {', '.join(changed)}." if changed else None


def can_be_asked_again(state: ReviewState, run: str) -> bool:
    """Whether only such things changed since a run as cached features can answer for."""
    changed = changes(state, run)
    known = state.slide is not None and state.seen is not None and run in state.answers[run].result.features
    return known and bool(changed) and set(changed) <= {ROI, CLINICAL} and why_no_live(state, run) is None


def why_no_live(state: ReviewState, run: str) -> str | None:
    """Return why a run whose question changed is not asked again at once; None where it can be."""
    from napari_aln.workflows.review.whatif import why_not

    answer = state.answers[run]
    changed = changes(state, run)
    if not changed or not set(changed) <= {ROI, CLINICAL}:
        return None
    if CLINICAL in changed and state.clinical_problem:
        return state.clinical_problem
    why = why_not(answer.bundle.card, answer.request.settings)
    return NO_FEATURES if why is None and run not in answer.result.features else why


def _what_counts(bundle: Bundle, settings: PredictSettings) -> PredictSettings:
    """Return the settings that may change a model's answer: not what is kept between runs."""
    from napari_aln.workflows.slide.score import settings_for

    own = settings_for(bundle.card, settings)
    return own.model_copy(update={"cache": PredictSettings().cache})
