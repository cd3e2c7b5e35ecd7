"""Maps over a cohort: deletion and insertion curves, and how well each finds the tumour that was outlined."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_aln.cohort.table import read_cohort
from napari_aln.cohort.wording import counted
from napari_aln.errors import AlnError, CohortError, DeviceError, StoreError, UsageError
from napari_aln.evaluation import plots
from napari_aln.evaluation.cases import file_stem
from napari_aln.evaluation.curves import GRID
from napari_aln.evaluation.map_measures import (
    RANDOM,
    TITLES,
    Finding,
    areas_of,
    band,
    faithfulness,
    faithfulness_table,
    tumour_finding,
    tumour_table,
)
from napari_aln.mil.faithfulness import ranked_maps, slide_faithfulness, strength
from napari_aln.mil.scoring import PatchScorer
from napari_aln.records import Progress
from napari_aln.settings.prediction import BagSettings
from napari_aln.slides.first_open import opening_untried
from napari_aln.store.atomic import refuse_foreign
from napari_aln.store.result import HIDDEN, slide_made_by
from napari_aln.workflows.evaluation.folder import RECORD, Evaluation, write_evaluation
from napari_aln.workflows.predict import Request, predict_slide
from napari_aln.workflows.slide.networks import ReadyNetworks
from napari_aln.workflows.slide.prepare import survey
from napari_aln.workflows.slide.score import clinical_vector
from napari_aln.workflows.training.patients import LeftOut

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from pathlib import Path

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from napari_aln.cohort.table import CohortRow
    from napari_aln.evaluation.map_measures import Band
    from napari_aln.mil.bundle import Bundle
    from napari_aln.mil.faithfulness import SlideFaithfulness
    from napari_aln.records import SlideResult
    from napari_aln.settings.evaluation import MapSettings
    from napari_aln.settings.prediction import PredictSettings
    from napari_aln.store.features import FeatureCache

_CHANCE = "random orders"


@dataclass
class MapEvaluation(Evaluation):
    """What was found of the maps, and the slides that could not be used."""

    left_out: list[LeftOut] = field(default_factory=list)


class _OnSlide(NamedTuple):
    """The maps of one slide."""

    curves: SlideFaithfulness
    findings: dict[str, Finding]  # empty where no tumour is outlined, or nothing else is there
    off_slide_result: float  # |p of the pooled bag - the slide's p|, of N(+)
    made_by: dict[str, Any]  # slide by its hash, µm/px, model, patches, bags, device


def evaluate_maps(
    cohort_csv: Path,
    bundles: Sequence[Bundle],
    out: Path,
    settings: MapSettings,
    predicting: PredictSettings,
    cache: FeatureCache | None = None,
    *,
    private: bool = False,
) -> Generator[Progress, None, MapEvaluation]:
    """Judge the maps of models on the slides of a cohort and write the folder; yield as slides are done.

    Whole-slide models are also judged as detectors of tumour patches, where the table names outlines (those
    of `cohort synthesize` are the truth): a patch is tumour when it would belong to that ROI.

    Parameters
    ----------
    cohort_csv
        See `cohort.table`; slides, clinical values and, inside the ROI, outlines.
    bundles
        The models.
    out
        Folder to write; an earlier evaluation there is replaced.
    settings
        Whose patients, and how.
    predicting
        How features are made; seed and filling of clinical values come from `settings`.
    cache
        Where features are kept, if anywhere.
    private
        Name the cohort table nowhere in what is written; slides and patients are not named in any case.

    Raises
    ------
    CohortError
        The table has no such patients, or no slide of theirs could be used.
    UsageError
        A model has no maps to judge.
    StoreError, DeviceError
        The folder cannot be written or is not ours, or the network gave up.
    """
    for bundle in bundles:
        _refuse_without_maps(bundle)
    refuse_foreign(out, known_by=RECORD)
    rows = _chosen(cohort_csv, settings)
    found = MapEvaluation(title="Maps")
    found.inputs.append(
        {
            "role": "cohort",
            "name": HIDDEN if private else cohort_csv.name,
            "sha256": hashlib.sha256(cohort_csv.read_bytes()).hexdigest(),
        }
    )
    predicting = predicting.model_copy(
        update={
            "bags": BagSettings(**predicting.bags.model_dump(exclude_unset=True) | {"seed": settings.seed}),
            "fill_clinical": settings.fill_clinical,
        }
    )
    networks = ReadyNetworks()
    for place, bundle in enumerate(bundles):
        found.inputs.append({"role": "model", "name": bundle.card.name, "sha256": bundle.sha256})
        before = len(found.left_out)
        patients: dict[str, list[_OnSlide]] = {}
        for done, row in enumerate(rows):
            yield Progress(f"maps of {bundle.card.name}", place * len(rows) + done, len(bundles) * len(rows))
            request = Request(
                [bundle],
                regions=row.roi,
                clinical=row.clinical,
                settings=predicting,
                cache=cache,
                networks=networks,
            )
            rng = np.random.default_rng([settings.seed, done])
            try:
                measured = yield from _on_slide(row, request, settings.random_orders, rng)
            except (StoreError, DeviceError):  # no slide's fault
                raise
            except AlnError as error:
                name = row.slide.name if row.slide else "no slide"
                found.left_out.append(LeftOut(row.patient_id, name, str(error)))
            else:
                patients.setdefault(row.patient_id, []).append(measured)
        if not patients:
            raise CohortError(
                f"No slide of {cohort_csv} could be used with {bundle.card.name}; the first: "
                f"{found.left_out[before].reason}",
                "Check the table with `napari-aln cohort check`.",
            )
        found.made_by.setdefault("slides", []).extend(one.made_by for own in patients.values() for one in own)
        lost = len(found.left_out) - before
        _add(found, bundle, list(patients.values()), lost, settings, several=len(bundles) > 1)
    found.made_by["predict_settings"] = predicting.model_dump(mode="json")
    yield Progress("write", len(bundles) * len(rows), len(bundles) * len(rows))
    write_evaluation(found, out, settings)
    return found


def _refuse_without_maps(bundle: Bundle) -> None:
    card = bundle.card
    if card.norm_statistics == "bag" or card.pooling == "max":
        why = "pools by the maximum" if card.pooling == "max" else "is scored with the statistics of each bag"
        raise UsageError(
            f"{card.name} {why}: no patch of it has a weight in the whole slide.",
            "Choose a model with attention and running norm statistics.",
        )


def _chosen(cohort_csv: Path, settings: MapSettings) -> list[CohortRow]:
    rows = read_cohort(cohort_csv, several_slides=True)
    has_test = any(row.split == "test" for row in rows)
    split = settings.split or ("test" if has_test else "all")
    chosen = [row for row in rows if split == "all" or row.split == split]
    if not chosen:
        raise CohortError(f"{cohort_csv} has no patient in the split {split}.", "Choose another --split.")
    return chosen


def _on_slide(
    row: CohortRow, request: Request, n_random: int, rng: np.random.Generator
) -> Generator[Progress, None, _OnSlide]:
    """Score a slide as `predict` does and measure its maps."""
    if row.slide is None:
        raise CohortError(f"Patient {row.patient_id} has no slide.", "Fill the cell, or take the line out.")
    (bundle,) = request.bundles
    card = bundle.card
    with (yield from opening_untried(row.slide, row.mpp)) as slide:
        result = yield from predict_slide(slide, request, survey(slide))
    scores, features = result.scores[card.mode], result.features[card.mode]
    vector, _ = clinical_vector(card, row.clinical, request.settings)
    maps = ranked_maps(scores)
    scorer = PatchScorer(bundle.head, features.h, features.e)
    curves = slide_faithfulness(scorer, vector, maps, rng, n_random)
    findings = {}
    if card.mode == "dlcnbc-ws" and row.roi is not None:
        for name, values in maps.items():
            finding = tumour_finding(name, strength(name, values), scores.in_roi)
            if finding is not None:
                findings[name] = finding
    pooled = curves.whole if curves.toward == 1 else 1 - curves.whole
    slide_p = 1 - result.runs[0].probabilities[card.classes[0]]
    return _OnSlide(curves, findings, abs(pooled - slide_p), _made_by(result))


def _made_by(result: SlideResult) -> dict[str, Any]:
    (run,) = result.runs
    made = {name: getattr(run, name) for name in ("model_sha256", "n_patches", "n_bags", "seed")}
    return slide_made_by(result.slide) | made | {"device": run.device, "precision": run.precision}


def _add(
    found: MapEvaluation,
    bundle: Bundle,
    patients: Sequence[Sequence[_OnSlide]],
    lost: int,
    settings: MapSettings,
    *,
    several: bool,
) -> None:
    """Add a model's tables and figure."""
    name = bundle.card.name
    suffix = f"-{file_stem(name)}" if several else ""
    slides = [one for own in patients for one in own]
    n_toward = sum(one.curves.toward == 1 for one in slides)
    notes = [
        f"{counted(len(slides), 'slide')} of {counted(len(patients), 'patient')}, {n_toward} of them on the "
        f"side of N(+); {settings.random_orders} random orders a slide, seed {settings.seed}."
        + (f" {counted(lost, 'slide')} could not be used." if lost else ""),
        "All patches pooled as one bag give a probability that differs from the slide's (mean over bags) by "
        f"{np.mean([one.off_slide_result for one in slides]):.3f} on average.",
    ]
    areas = areas_of([_mean_areas(own) for own in patients])
    judged = faithfulness(areas, settings.bootstraps, settings.seed)
    title = f"How faithful the maps of {name} are"
    found.tables.append(faithfulness_table(judged, areas, f"maps{suffix}", title, notes))
    labels = {one.name: f"{TITLES[one.name]}: gain {one.gain.value:.3f}" for one in judged}
    found.figures[f"deletion-insertion{suffix}"] = _figure(patients, labels, settings, name)
    tumour = _tumour(patients, list(areas.deletion))
    if tumour:
        title = f"Do the maps of {name} find the tumour?"
        note = "Tumour: a patch that would belong to the outlined ROI. Its share of all patches stands last."
        found.tables.append(
            tumour_table(tumour, f"tumour{suffix}", title, [note], settings.bootstraps, settings.seed)
        )


def _mean_areas(slides: Sequence[_OnSlide]) -> dict[str, tuple[float, float]]:
    """Return the areas of a patient: the mean over the slides."""
    own = [one.curves.areas() for one in slides]
    common = [name for name in own[0] if all(name in areas for areas in own)]
    means = {name: np.mean([areas[name] for areas in own], axis=0) for name in common}
    return {name: (float(deletion), float(insertion)) for name, (deletion, insertion) in means.items()}


def _figure(
    patients: Sequence[Sequence[_OnSlide]], labels: Mapping[str, str], settings: MapSettings, name: str
) -> Figure:
    """Draw the mean curves of the maps and of chance."""
    deletion: dict[str, Band] = {}
    insertion: dict[str, Band] = {}
    for key, label in {**labels, RANDOM: _CHANCE}.items():
        by_patient = np.array([_mean_curves(own, key) for own in patients])  # (p, 2, t)
        for which, bands in enumerate((deletion, insertion)):
            rng = np.random.default_rng(settings.seed)
            bands[label] = band(by_patient[:, which], settings.bootstraps, rng)
    return plots.faithfulness_figure(deletion, insertion, _CHANCE, f"{name} (n = {len(patients)})")


def _mean_curves(slides: Sequence[_OnSlide], key: str) -> NDArray[np.float64]:
    """Return (2, t): a patient's deletion and insertion curve over `GRID`."""
    curves = [one.curves.random if key == RANDOM else one.curves.maps[key] for one in slides]
    mean: NDArray[np.float64] = np.array([own.at(GRID) for own in curves]).mean(axis=0)
    return mean


def _tumour(patients: Sequence[Sequence[_OnSlide]], maps: Sequence[str]) -> dict[str, list[Finding]]:
    """Return what each map found, a mean a patient; nothing where no patient has an outline."""
    found: dict[str, list[Finding]] = {}
    for name in maps:
        of_patients = [[one.findings[name] for one in own if name in one.findings] for own in patients]
        means = [Finding(*np.mean(own, axis=0).tolist()) for own in of_patients if own]
        if means:
            found[name] = means
    return found
