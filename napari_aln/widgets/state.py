"""What is under review, and what may be done with it. Tells when it changes; knows no Qt and no viewer.

What only a run needs is imported where it is needed: the window opens sooner.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

from psygnal import Signal

from napari_aln.errors import ClinicalError
from napari_aln.records import Clinical
from napari_aln.settings.prediction import PredictSettings
from napari_aln.store.result import alias_of, shown_name
from napari_aln.workflows.slide.compare import compare
from napari_aln.workflows.slide.maps import MAP_STYLES, ListScale, colour_limits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Literal

    from napari_aln.mil.bundle import Bundle
    from napari_aln.records import Mode, PatchScores, Region, RunRecord, SlideResult
    from napari_aln.slides import Slide
    from napari_aln.store.features import FeatureCache
    from napari_aln.workflows.predict import Request
    from napari_aln.workflows.review.whatif import WhatIfAnswer
    from napari_aln.workflows.slide.compare import Comparison
    from napari_aln.workflows.slide.maps import Scaling
    from napari_aln.workflows.slide.networks import ReadyNetworks
    from napari_aln.workflows.slide.prepare import Overview

    Kind = Literal["whole-slide", "roi"]
    Gate = Callable[[bool], str]
    """Says why no answer may be shown, or nothing; asked with True when one is about to be."""

MODES_OF: dict[str, tuple[Mode, ...]] = {"whole-slide": ("dlcnbc-ws",), "roi": ("dlcnbc", "dlcnb")}
"""The modes that each of the two buttons runs."""

SHOWN_MAPS = ("attention_slide", "attention_bag", "contribution", "probability", "entropy")

MOST_NETWORKS = 3
"""Kept ready for the next run: as many as there are modes."""

NO_LIST = "no work list is open"
SET_ASIDE = "All regions are set aside: tick one in the list of the tumour ROI."


@dataclass(frozen=True)
class Answer:
    """A result and the question it answers."""

    request: Request
    seen: Overview | None
    result: SlideResult
    record: RunRecord

    @property
    def scores(self) -> PatchScores:
        """Per-patch values of the run."""
        return self.result.scores[self.record.run]

    @property
    def bundle(self) -> Bundle:
        """The model that answered."""
        return next(b for b in self.request.bundles if b.card.mode == self.record.mode)


class ReviewState:
    """One slide under review, the loaded models, the case, and the answers so far.

    Every change goes through a method, which tells those who listen.
    """

    slide_changed = Signal()
    overview_changed = Signal()
    bundles_changed = Signal()
    case_changed = Signal()  # regions, clinical values or settings
    answers_changed = Signal()
    live_changed = Signal()  # what a run would answer now
    shown_changed = Signal()  # which map of which run
    blocked_changed = Signal()  # whether runs may start at all

    def __init__(self) -> None:
        self.slide: Slide | None = None
        self.seen: Overview | None = None
        self.bundles: dict[str, Bundle] = {}
        self.chosen: dict[Mode, str] = {}
        self.regions: tuple[Region, ...] = ()
        self.roi: tuple[Region, ...] = ()  # those in use: what a run takes
        self.clinical = Clinical()
        self.clinical_problem: str | None = None
        self.settings = PredictSettings()
        self.answers: dict[str, Answer] = {}  # by run
        self.live: dict[str, WhatIfAnswer | None] = {}  # by run: what it would answer now
        self.live_problems: dict[str, str] = {}  # by run: why that cannot be said
        self.shown: tuple[str, str] | None = None  # run and map
        self.difference = False  # the map that is named is shown as ROI minus whole slide
        self.scaling: Scaling = "unscaled"
        self.threshold = 0.0  # share of the colour scale from which on patches are shown
        self.colour_map: str | None = None  # the user's choice for unsigned maps; None: each map's own
        self.hide_names = False
        self.blocked = ""  # why no run may start, while something else has the processor
        self._compared: tuple[tuple[object, ...], Comparison] | None = None  # what was compared, and how
        self.gate: Gate = lambda _showing: ""
        self.list_scale: Callable[[str], ListScale | str] = lambda _map_name: NO_LIST
        self.withheld = ""  # why answers are kept back, as the gate said last
        self._kept_back: list[tuple[Request, Overview | None, SlideResult]] = []
        self._passed = "", 0  # why answers were kept back, and how many, when that was told last

    @property
    def name(self) -> str:
        """What the slide is called on the screen: its file name, or an alias that shows nothing of it."""
        if self.slide is None:
            return ""
        info = self.slide.info
        return alias_of(info) if self.hide_names else shown_name(info.path)

    def set_slide(self, slide: Slide | None) -> None:
        """Put another slide under review: regions and answers belong to the one before. Models stay."""
        same = self.slide and slide and self.slide.info.quick_hash == slide.info.quick_hash
        self.slide = slide
        self.seen = None
        self.answers, self.live, self.live_problems = {}, {}, {}
        self.shown, self.difference, self._compared = None, False, None
        self.withheld, self._kept_back, self._passed = "", [], ("", 0)
        if not same:
            self.regions = self.roi = ()
            self.clinical, self.clinical_problem = Clinical(), None
        self.slide_changed.emit()
        self.overview_changed.emit()
        self.case_changed.emit()
        self.answers_changed.emit()
        self.shown_changed.emit()

    def set_seen(self, seen: Overview) -> None:
        """Note the slide's overview and tissue."""
        self.seen = seen
        self.overview_changed.emit()

    def add_bundles(self, bundles: list[Bundle]) -> None:
        """Load models; each becomes the chosen one of its mode."""
        for bundle in bundles:
            key = key_of(bundle)
            self.bundles[key] = bundle
            self.chosen[bundle.card.mode] = key
        self.bundles_changed.emit()

    def load_exactly(self, bundles: Sequence[Bundle], chosen: Sequence[Bundle]) -> None:
        """Put these models in place of all that are loaded; of each mode the one in `chosen` is chosen."""
        self.bundles = {key_of(bundle): bundle for bundle in bundles}
        self.chosen = {bundle.card.mode: key_of(bundle) for bundle in chosen}
        self.bundles_changed.emit()

    def remove_bundle(self, key: str) -> None:
        """Unload a model; another one of its mode is chosen in its place."""
        mode = self.bundles.pop(key).card.mode
        if self.chosen.get(mode) == key:
            others = [k for k, bundle in self.bundles.items() if bundle.card.mode == mode]
            self.chosen = {m: k for m, k in self.chosen.items() if m != mode}
            if others:
                self.chosen[mode] = others[-1]
        self.bundles_changed.emit()

    def choose(self, chosen: Mapping[Mode, str]) -> None:
        """Choose one model for each mode."""
        self.chosen = dict(chosen)
        self.bundles_changed.emit()

    def set_regions(self, regions: tuple[Region, ...]) -> None:
        """Note the tumour ROI, in level-0 pixels, with the regions that are set aside."""
        self.regions = regions
        self.roi = in_use(regions)
        self.case_changed.emit()

    def set_clinical(self, clinical: Clinical, problem: str | None = None) -> None:
        """Note the clinical values; `problem` says what was typed that is no value."""
        self.clinical, self.clinical_problem = clinical, problem
        self.case_changed.emit()

    def set_settings(self, settings: PredictSettings) -> None:
        """Note how models are to be run."""
        self.settings = settings
        self.case_changed.emit()

    def bundles_for(self, kind: Kind) -> list[Bundle]:
        """Return the chosen models that a button runs."""
        return [self.bundles[self.chosen[mode]] for mode in MODES_OF[kind] if mode in self.chosen]

    def block(self, why: str) -> None:
        """Let no run start, and say why; nothing: they may again."""
        self.blocked = why
        self.blocked_changed.emit()

    def why_not(self, kind: Kind) -> str | None:
        """Return what is still missing for a run, or None when it can start."""
        if self.blocked:
            return self.blocked
        bundles = self.bundles_for(kind)
        if self.slide is None:
            return "Open a slide first."
        if self.slide.info.mpp is None:
            return "The slide's µm/px is missing: set it first."
        if not bundles:
            return f"Load a model of the mode {MODES_OF[kind][0].upper()} first."
        if kind == "roi" and not self.roi:
            return SET_ASIDE if self.regions else "Draw or import a tumour ROI first."
        if self.clinical_problem:
            return self.clinical_problem
        from napari_aln.workflows.slide.score import clinical_vector

        try:
            for bundle in bundles:
                clinical_vector(bundle.card, self.clinical, self.settings)
        except ClinicalError as error:
            return error.fact
        return None

    def request(self, kind: Kind, cache: FeatureCache | None) -> Request:
        """Return what a run of this kind asks, as things stand now."""
        from napari_aln.workflows.predict import Request

        return Request(
            self.bundles_for(kind),
            regions=self.roi,
            clinical=self.clinical,
            settings=self.settings,
            cache=cache if self.settings.cache.enabled else None,
            networks=networks(),
        )

    def add_result(self, request: Request, seen: Overview | None, result: SlideResult) -> None:
        """Note what a run answered, and show its map, unless the gate keeps it back."""
        self._kept_back.append((request, seen, result))
        self.pass_gate()

    @property
    def n_kept_back(self) -> int:
        """How many results are there and not shown."""
        return len(self._kept_back)

    def drop_kept_back(self) -> None:
        """Forget what is kept back: another gate may let it pass."""
        self._kept_back = []

    def pass_gate(self) -> None:
        """Show what is kept back, or keep back what is shown: as the gate says now.

        Nothing else makes an answer one of `answers`, which is all that panels, maps and files know.
        """
        self.withheld = self.gate(bool(self._kept_back or self.answers))
        newest = None
        if self.withheld:
            shown = [(a.request, a.seen, replace(a.result, runs=(a.record,))) for a in self.answers.values()]
            self._kept_back = [*shown, *self._kept_back]
            self.answers, self.live, self.live_problems = {}, {}, {}
            self.shown, self.difference, self._compared = None, False, None
        else:
            for request, seen, result in self._kept_back:
                for record in result.runs:
                    self.answers[record.run] = Answer(request, seen, result, record)
                    self.live[record.run], self.live_problems[record.run] = None, ""
                newest = result.runs[0]
            self._kept_back = []
        before, self._passed = self._passed, (self.withheld, len(self._kept_back))
        if newest is None and self._passed == before:
            return
        self.answers_changed.emit()
        if newest is not None:
            self.difference = False
            self.show(newest.run, newest.default_map if newest.default_map in SHOWN_MAPS else SHOWN_MAPS[0])
        else:
            self.shown_changed.emit()

    def show(self, run: str, map_name: str) -> None:
        """Choose the map that lies on the slide; the difference of another map is shown as one too."""
        stays = self.shown is not None and self.shown[0] == run and self.shown[1] != map_name
        self.difference = self.difference and stays
        self.shown = (run, map_name)
        self.shown_changed.emit()

    def show_difference(self, on: bool) -> None:
        """Show the map as the difference of ROI and whole slide, or as that of one run."""
        self.difference = on
        self.shown_changed.emit()

    def scale_by(self, scaling: Scaling) -> None:
        """Choose how values become colours."""
        self.scaling = scaling
        self.shown_changed.emit()

    def show_from(self, threshold: float) -> None:
        """Show patches only from a share of the colour scale on; 0 shows all."""
        self.threshold = threshold
        self.shown_changed.emit()

    def colour_by(self, colour_map: str) -> None:
        """Colour maps differently; signed ones keep their diverging colours."""
        self.colour_map = colour_map
        self.shown_changed.emit()

    def colour_map_of(self, map_name: str) -> str:
        """Return the colour map of a map."""
        style = MAP_STYLES[map_name]
        return style.colour_map if style.signed or self.colour_map is None else self.colour_map

    def colour_limits(self, map_name: str) -> tuple[float, float]:
        """Return one colour scale of a map for all answers, so that they can be compared by eye."""
        values = [getattr(self.scores_of(run), map_name) for run in self.answers]
        return colour_limits(MAP_STYLES[map_name], values)

    def set_live(self, answers: Mapping[str, tuple[WhatIfAnswer | None, str]]) -> None:
        """Note what runs would answer now, by run; None: the same, or the text says why it cannot be said.

        All at once: each time it is told, map, cards and comparison are made anew.
        """
        changed = any(self.live.get(run) is not live for run, (live, _) in answers.items())
        for run, (live, problem) in answers.items():
            self.live[run], self.live_problems[run] = live, problem
        self.live_changed.emit()
        if self.shown and changed:  # whichever run is shown: its colours cover all runs
            self.shown_changed.emit()

    def scores_of(self, run: str) -> PatchScores:
        """Return a run's per-patch values as they would be now, else as they were."""
        live = self.live.get(run)
        return live.run.scores if live and live.run else self.answers[run].scores

    def record_of(self, run: str) -> RunRecord:
        """Return a run's numbers as they would be now, else as they were."""
        live = self.live.get(run)
        return live.run.record if live and live.run else self.answers[run].record

    def pair(self) -> tuple[str, str] | None:
        """Return the run inside the ROI and that of the whole slide, where both are there."""
        by_mode = {answer.record.mode: run for run, answer in self.answers.items()}
        inside = next((by_mode[mode] for mode in MODES_OF["roi"] if mode in by_mode), None)
        whole = by_mode.get("dlcnbc-ws")
        return None if inside is None or whole is None else (inside, whole)

    def comparison(self, map_name: str) -> Comparison | None:
        """Compare ROI and whole slide as they would answer now; None where there are not both."""
        pair = self.pair()
        if pair is None:
            return None
        inside, whole = ((self.record_of(run), self.scores_of(run)) for run in pair)
        live, answer = self.live.get(pair[0]), self.answers[pair[0]]
        regions = live.regions if live and live.run else answer.result.regions
        what = (*inside, *whole, regions, map_name)
        if self._compared is None or any(a is not b for a, b in zip(self._compared[0], what, strict=True)):
            self._compared = what, compare(inside, whole, regions, map_name=map_name)
        return self._compared[1]


def in_use(regions: tuple[Region, ...]) -> tuple[Region, ...]:
    """Return the regions that are not set aside; the same tuple where none is."""
    if all(region.in_use for region in regions):
        return regions
    return tuple(region for region in regions if region.in_use)


def key_of(bundle: Bundle) -> str:
    """Return what tells loaded models apart: the weights, and the card that says how they are used."""
    return f"{bundle.sha256[:16]}-{bundle.card.mode}-{bundle.card.name}"


@cache
def networks() -> ReadyNetworks:
    """Return the networks that are kept from run to run, whatever the slide, by all windows together.

    Each that is made ready anew would leave some MiB with torch for as long as the program runs.
    """
    from napari_aln.workflows.slide.networks import ReadyNetworks

    return ReadyNetworks(most=MOST_NETWORKS)
