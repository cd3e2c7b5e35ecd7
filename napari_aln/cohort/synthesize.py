"""A synthetic cohort: slides, truth and table, drawn from a seed alone."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
import shapely
from scipy import ndimage
from shapely.geometry import MultiPolygon, Polygon, mapping
from shapely.ops import unary_union
from skimage import measure

from napari_aln.cohort.bodies import KINDS, MPP_UM, Bodies, join, morphometry
from napari_aln.cohort.nuclei_model import populate
from napari_aln.cohort.patients import draw_labels, draw_patient, patient_rng, split_labels
from napari_aln.cohort.pyramid import write_pyramid
from napari_aln.cohort.rendering import draw_glass, draw_look, paint_core
from napari_aln.cohort.table import CohortRow, receptor_sign, write_cohort
from napari_aln.cohort.tissue_model import CELL_PX, Core, CoreShape, grow_core
from napari_aln.errors import CohortError, UsageError
from napari_aln.records import Progress
from napari_aln.versions import package_versions

if TYPE_CHECKING:
    from collections.abc import Generator

    from numpy.typing import NDArray
    from shapely.geometry.base import BaseGeometry

    from napari_aln.cohort.patients import Patient
    from napari_aln.cohort.table import Split
    from napari_aln.settings.cohorts import SynthesizeSettings

_SMALLEST_REGION_PX2 = 60_000.0
_DRAWN_WITH = "drawn_with"
_PACKAGES = ("scikit-image",)  # beside those of every record


class SyntheticSlide(NamedTuple):
    """One drawn slide with its truth, level-0 px."""

    rgb: NDArray[np.uint8]
    bodies: Bodies
    tumour: MultiPolygon


def synthesize(
    out_dir: Path, n_patients: int, seed: int, settings: SynthesizeSettings
) -> Generator[Progress, None, Path]:
    """Draw a cohort; yield after each slide, return the path of its table.

    Writes ``cohort.csv``, ``slides/<id>.tif``, ``truth/<id>.geojson`` (tumour outlines as QuPath writes them)
    and ``truth/<id>-nuclei.parquet`` (x, y in level-0 px, axes in µm, angle in rad, kind, morphometry). The
    table is written last, so a folder without one is unfinished; the same call goes on with it, and
    ``drawing.json`` says what is being drawn there, and with which versions.

    Raises
    ------
    UsageError
        When fewer than two patients are asked for, or the seed is negative.
    CohortError
        When the folder already holds a cohort, or part of another one, or cannot be written.
    """
    if n_patients < 2 or seed < 0:
        raise UsageError(
            f"A cohort of {n_patients} patients at seed {seed} cannot be drawn.",
            "Ask for at least 2 patients (one of either label) and a seed of 0 or more.",
        )
    table = out_dir / "cohort.csv"
    if table.exists():
        raise CohortError(f"{out_dir} already holds a cohort.", "Name an empty folder, or delete that one.")
    try:
        (out_dir / "slides").mkdir(parents=True, exist_ok=True)
        (out_dir / "truth").mkdir(exist_ok=True)
        _begin(out_dir, {"patients": n_patients, "seed": seed} | settings.model_dump(mode="json"))
    except OSError as error:
        raise CohortError(
            f"{out_dir} cannot be written ({error.strerror or error}).", "Name another folder."
        ) from error
    labels = draw_labels(seed, n_patients, settings)
    splits = split_labels(labels, settings)
    rows = []
    started, n_drawn = time.monotonic(), 0
    for index, positive in enumerate(labels):
        rng = patient_rng(seed, index)
        patient = draw_patient(rng, index, positive, settings.traits)
        rows.append(_row(patient, splits[index]))
        if not (out_dir / _nuclei_path(patient)).exists():
            _write_patient(out_dir, patient, draw_slide(rng, patient, settings), settings.jpeg_quality)
            n_drawn += 1
        rate = n_drawn / max(time.monotonic() - started, 1e-9)
        yield Progress("draw slides", index + 1, n_patients, rate)
    try:
        write_cohort(table, rows)
    except OSError as error:
        raise CohortError(
            f"{table} cannot be written ({error.strerror or error}).", "Free space, then start again."
        ) from error
    return table


def draw_slide(rng: np.random.Generator, patient: Patient, settings: SynthesizeSettings) -> SyntheticSlide:
    """Draw one patient's slide: cores side by side on one glass."""
    look = draw_look(rng)
    shapes = _draw_shapes(rng, settings)
    cores = [grow_core(rng, shape) for shape in shapes]
    bodies = [populate(rng, core, s, patient.law) for core, s in zip(cores, shapes, strict=True)]
    step = 16 * CELL_PX
    offsets = np.cumsum([0, *(core.size_px[1] for core in cores)])
    height = -(-max(core.size_px[0] for core in cores) // step) * step
    canvas = draw_glass(rng, (height, int(-(-offsets[-1] // step) * step)), look)
    regions, placed = [], []
    for core, part, left in zip(cores, bodies, offsets[:-1].tolist(), strict=True):
        top = int(rng.integers(0, height - core.size_px[0] + 1))
        box = canvas[top : top + core.size_px[0], left : left + core.size_px[1]]
        paint_core(rng, box, core, part, look)
        placed.append(_moved(part, left, top))
        regions += _outlines(core, left, top)
    rgb, all_bodies = canvas, join(placed)
    if rng.random() < 0.5:  # cores lie down as often as they stand
        rgb = np.ascontiguousarray(rgb.transpose(1, 0, 2))
        all_bodies = _transposed(all_bodies)
        regions = [_transposed_polygon(region) for region in regions]
    return SyntheticSlide(rgb, all_bodies, _multi(unary_union(regions)))


def _draw_shapes(rng: np.random.Generator, settings: SynthesizeSettings) -> list[CoreShape]:
    """Draw size and habit of each core; habit is the patient's, tumour share differs from core to core."""
    n_cores = int(rng.integers(settings.cores[0], settings.cores[1] + 1))
    pattern = ("nests", "sheets", "cords")[rng.integers(3)]
    fat, lymphocytes, lobules = rng.beta(1.2, 4.0) * 0.9, rng.random(), rng.gamma(1.5, 0.8)
    has_tumour = rng.random(n_cores) < 0.85
    has_tumour[rng.integers(n_cores)] = True
    return [
        CoreShape(
            rng.uniform(*settings.core_width_um),
            rng.uniform(*settings.core_length_um),
            rng.uniform(0.45, 0.8) if tumour else 0.0,
            pattern,
            float(fat),
            float(lymphocytes),
            float(lobules),
        )
        for tumour in has_tumour
    ]


def _outlines(core: Core, left: float, top: float) -> list[BaseGeometry]:
    """Return the tumour region of one core as polygons with holes, smoothed as a hand would draw them."""
    region = ndimage.gaussian_filter(np.pad(core.tumour.astype(np.float32), 1), 2.0)
    rings = [
        (ring[:, ::-1] - 1 + 0.5) * CELL_PX + (left, top)
        for ring in measure.find_contours(region, 0.5)  # type: ignore[no-untyped-call]
        if len(ring) > 8
    ]
    region_of: BaseGeometry = MultiPolygon()
    for ring in sorted(map(Polygon, rings), key=lambda p: -p.area):  # even-odd: a ring inside is a hole
        region_of = region_of.symmetric_difference(ring.buffer(0))
    parts = _multi(region_of.simplify(3.0).buffer(0)).geoms
    return [p for p in parts if p.area >= _SMALLEST_REGION_PX2]


def _multi(geometry: BaseGeometry) -> MultiPolygon:
    parts = getattr(geometry, "geoms", [geometry])
    return MultiPolygon([p for p in parts if isinstance(p, Polygon) and not p.is_empty])


def _moved(bodies: Bodies, x: float, y: float) -> Bodies:
    return replace(bodies, xy_px=bodies.xy_px + np.array([x, y], np.float32))


def _transposed(bodies: Bodies) -> Bodies:
    """Swap x and y: a mirror, so angles turn about the diagonal and phases change sign."""
    return replace(
        bodies,
        xy_px=bodies.xy_px[:, ::-1],
        angle_rad=np.float32(np.pi / 2) - bodies.angle_rad,
        phases_rad=-bodies.phases_rad,
    )


def _transposed_polygon(region: BaseGeometry) -> BaseGeometry:
    return shapely.transform(region, lambda xy: xy[:, ::-1])


def nuclei_table(bodies: Bodies) -> pd.DataFrame:
    """Return the truth of every nucleus: centre in level-0 px, axes in µm, angle in [0, pi), kind."""
    nuclei = bodies.take(bodies.kind != KINDS.index("erythrocyte"))
    table = pd.DataFrame(
        {
            "x": nuclei.xy_px[:, 0],
            "y": nuclei.xy_px[:, 1],
            "major_axis_um": 2 * MPP_UM * nuclei.half_axes_px[:, 0],
            "minor_axis_um": 2 * MPP_UM * nuclei.half_axes_px[:, 1],
            "angle_rad": np.mod(nuclei.angle_rad, np.pi),
            "kind": pd.Categorical(np.array(KINDS)[nuclei.kind], categories=list(KINDS)),
        }
    )
    return table.assign(**{name: values.astype(np.float32) for name, values in morphometry(nuclei).items()})


def geojson_of(tumour: MultiPolygon) -> dict[str, object]:
    """Return the tumour outlines as the FeatureCollection QuPath writes, level-0 px."""
    return {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "geometry": mapping(part),
                "properties": {
                    "objectType": "annotation",
                    "name": f"tumour {i + 1}",
                    "classification": {"name": "Tumor", "color": [200, 0, 0]},
                },
            }
            for i, part in enumerate(tumour.geoms)
        ],
    }


def _begin(out_dir: Path, what: dict[str, object]) -> None:
    """Note what is drawn in a folder, and with which versions; refuse to go on with something else.

    Where versions change half-way, as after an update, the note names them all.

    Raises
    ------
    CohortError
        A part of another cohort lies there.
    """
    note = out_dir / "drawing.json"
    what = json.loads(json.dumps(what))  # lists for tuples, as they are read
    drawn_with: list[dict[str, str]] = []
    if note.exists():
        try:
            noted = json.loads(note.read_bytes())
        except ValueError:  # damaged
            noted = None
        if isinstance(noted, dict):
            drawn_with = noted.pop(_DRAWN_WITH, [])
        if noted != what:
            raise CohortError(
                f"{out_dir} holds a part of a cohort with other settings.",
                "Name an empty folder, or delete it.",
            )
    here = package_versions() | {name: version(name) for name in _PACKAGES}
    if here not in drawn_with:
        drawn_with.append(here)
        unfinished = note.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(what | {_DRAWN_WITH: drawn_with}, indent=1), encoding="utf-8")
        unfinished.replace(note)


def _slide_path(patient: Patient) -> Path:
    return Path("slides") / f"{patient.patient_id}.tif"


def _roi_path(patient: Patient) -> Path:
    return Path("truth") / f"{patient.patient_id}.geojson"


def _nuclei_path(patient: Patient) -> Path:
    return Path("truth") / f"{patient.patient_id}-nuclei.parquet"


def _write_patient(out_dir: Path, patient: Patient, slide: SyntheticSlide, jpeg_quality: int) -> None:
    """Write a patient's files, the nuclei last and in one move: where they are, all is there."""
    nuclei = out_dir / _nuclei_path(patient)
    unfinished = nuclei.with_suffix(".unfinished")
    try:
        write_pyramid(out_dir / _slide_path(patient), slide.rgb, MPP_UM, jpeg_quality)
        (out_dir / _roi_path(patient)).write_text(json.dumps(geojson_of(slide.tumour)), encoding="utf-8")
        nuclei_table(slide.bodies).to_parquet(unfinished, index=False)
        unfinished.replace(nuclei)
    except OSError as error:
        raise CohortError(
            f"The slide of {patient.patient_id} cannot be written to {out_dir} ({error.strerror or error}).",
            "Free space, or name another folder.",
        ) from error


def _row(patient: Patient, split: Split) -> CohortRow:
    clinical = patient.clinical
    return CohortRow(
        patient_id=patient.patient_id,
        slide=_slide_path(patient),
        roi=_roi_path(patient),
        age_years=clinical.age_years,
        tumor_size_cm=clinical.tumor_size_cm,
        er=receptor_sign(clinical.er),
        pr=receptor_sign(clinical.pr),
        her2=receptor_sign(clinical.her2),
        n_positive_nodes=patient.n_positive_nodes,
        label="N(+)" if patient.positive else "N0",
        split=split,
    )
