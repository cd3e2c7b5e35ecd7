"""The synthetic cohort: the same at a seed, true to its own truth, and labelled only as it says."""

import json

import numpy as np
import openslide
import pandas as pd
import pytest
import shapely
from pydantic import ValidationError
from scipy.stats import rankdata
from tests_shared import collect

from napari_aln.cohort.bodies import Bodies, make_bodies, morphometry
from napari_aln.cohort.patients import draw_labels, draw_patient, patient_rng, split_labels
from napari_aln.cohort.synthesize import _transposed, draw_slide, nuclei_table, synthesize
from napari_aln.cohort.table import read_cohort
from napari_aln.errors import CohortError, UsageError
from napari_aln.settings.cohorts import SynthesizeSettings

SMALL = SynthesizeSettings(core_width_um=(400, 420), core_length_um=(700, 720))


def auc(positive, score):
    positive = np.asarray(positive, bool)
    rank, n = rankdata(score), positive.sum()
    return (rank[positive].sum() - n * (n + 1) / 2) / (n * (~positive).sum())


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cohort") / "mäntel"
    seen, table = collect(synthesize(folder, 4, 3, SMALL))
    assert [(p.done, p.total) for p in seen] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    return read_cohort(table)


def test_the_same_seed_draws_the_same_files(cohort, tmp_path):
    _, table = collect(synthesize(tmp_path / "again", 4, 3, SMALL))
    for first, second in zip(cohort, read_cohort(table), strict=True):
        assert first.slide.read_bytes() == second.slide.read_bytes()
        assert first.roi.read_text() == second.roi.read_text()
        assert first.clinical == second.clinical


def test_the_file_shows_what_was_drawn(cohort):
    rng = patient_rng(3, 0)
    labels = draw_labels(3, 4, SMALL)
    drawn = draw_slide(rng, draw_patient(rng, 0, labels[0]), SMALL).rgb
    with openslide.OpenSlide(cohort[0].slide) as slide:
        read = np.asarray(slide.read_region((0, 0), 0, slide.dimensions).convert("RGB"))
    assert read.shape == drawn.shape
    assert np.abs(read.astype(int) - drawn).mean() < 6.0  # JPEG, colour at half resolution
    assert np.abs(read.mean(axis=(0, 1)) - drawn.mean(axis=(0, 1))).max() < 1.0


def test_another_seed_draws_another_slide(cohort):
    rng = patient_rng(4, 0)
    other = draw_slide(rng, draw_patient(rng, 0, cohort[0].is_positive), SMALL).rgb
    with openslide.OpenSlide(cohort[0].slide) as slide:
        read = np.asarray(slide.read_region((0, 0), 0, other.shape[1::-1]).convert("RGB"))
    assert np.abs(read.astype(int) - other).mean() > 12.0


def test_openslide_sees_all_levels_and_the_resolution(cohort):
    for row in cohort:
        with openslide.OpenSlide(row.slide) as slide:
            assert float(slide.properties["openslide.mpp-x"]) == pytest.approx(0.5)
            assert float(slide.properties["openslide.mpp-y"]) == pytest.approx(0.5)
            assert slide.level_downsamples == tuple(float(2**i) for i in range(slide.level_count))
            assert max(slide.level_dimensions[-1]) <= 512
            full = np.asarray(slide.read_region((0, 0), 0, slide.dimensions).convert("RGB")).astype(float)
            half = np.asarray(slide.read_region((0, 0), 1, slide.level_dimensions[1]).convert("RGB"))
            reduced = full.reshape(*half.shape[:1], 2, half.shape[1], 2, 3).mean(axis=(1, 3))
            assert np.abs(reduced - half).mean() < 3.0  # JPEG twice, nothing else


def test_tumour_polygons_lie_on_tissue_and_hold_the_tumour_nuclei(cohort):
    for row in cohort:
        features = json.loads(row.roi.read_text())["features"]
        tumour = shapely.union_all([shapely.geometry.shape(f["geometry"]) for f in features])
        assert tumour.is_valid
        assert tumour.area > 100_000
        nuclei = pd.read_parquet(row.roi.with_name(f"{row.patient_id}-nuclei.parquet"))
        at = shapely.points(nuclei[["x", "y"]].to_numpy(np.float64))
        inside = shapely.contains(tumour.buffer(12), at)
        is_tumour = (nuclei.kind == "tumour").to_numpy()
        assert inside[is_tumour].mean() > 0.97
        assert is_tumour.sum() > 200
        with openslide.OpenSlide(row.slide) as slide:
            grey = np.asarray(slide.read_region((0, 0), 0, slide.dimensions).convert("L")).astype(float)
        glass = np.median(grey[:40])
        x, y = nuclei.x.to_numpy().astype(int), nuclei.y.to_numpy().astype(int)
        assert 195 < glass < 240
        assert np.mean(grey[y, x] < glass - 30) > 0.95  # a nucleus is where the truth says one is


def test_nucleus_statistics_differ_between_the_labels_as_published():
    rows = []
    for i in range(80):
        positive = bool(i % 2)
        law = draw_patient(patient_rng(11, i), i, positive).law
        rng = patient_rng(12, i)
        n = 300
        radius = np.sqrt(law.area_um2 / np.pi) / 0.5
        half = np.column_stack([np.full(n, radius * law.aspect**0.5), np.full(n, radius / law.aspect**0.5)])
        nuclei = make_bodies(rng, "tumour", np.zeros((n, 2)), half, np.zeros(n), law.irregularity)
        shape = {name: float(v.mean()) for name, v in morphometry(nuclei).items()}
        rows.append({"positive": positive, **shape, "density": law.density_per_mm2, "align": law.alignment})
    table = pd.DataFrame(rows)
    for name, lower in (("area_um2", True), ("circumference_um", True), ("circularity", True)):
        assert 0.65 < auc(table.positive, -table[name] if lower else table[name]) < 0.95, name
    for name in ("density", "align"):
        assert 0.65 < auc(table.positive, table[name]) < 0.95, name


def test_the_drawn_slide_follows_the_law_of_its_patient():
    patient = draw_patient(patient_rng(3, 1), 1, positive=True)
    table = nuclei_table(draw_slide(patient_rng(3, 1), patient, SMALL).bodies)
    tumour = table[table.kind == "tumour"]
    assert tumour.area_um2.median() == pytest.approx(patient.law.area_um2, rel=0.12)
    assert (tumour.major_axis_um / tumour.minor_axis_um).mean() == pytest.approx(patient.law.aspect, rel=0.1)
    assert set(table.kind) <= {
        "tumour",
        "fibroblast",
        "lymphocyte",
        "luminal",
        "myoepithelial",
        "endothelial",
    }
    assert table.angle_rad.between(0, np.pi).all()


def test_clinical_values_are_weakly_informative():
    n = 4000
    patients = [draw_patient(patient_rng(5, i), i, bool(i % 2)) for i in range(n)]
    clinical = np.array(
        [[c.age_years, c.tumor_size_cm, c.er, c.pr, c.her2] for c in (p.clinical for p in patients)], float
    )
    standard = (clinical - clinical.mean(0)) / clinical.std(0)
    positive = np.array([p.positive for p in patients])
    train, test = standard[: n // 2], standard[n // 2 :]
    weights, *_ = np.linalg.lstsq(train, positive[: n // 2] - 0.5, rcond=None)
    assert 0.58 < auc(positive[n // 2 :], test @ weights) < 0.67
    assert all((p.n_positive_nodes > 0) == p.positive for p in patients)


def test_more_marked_traits_go_with_more_nodes():
    patients = [draw_patient(patient_rng(6, i), i, positive=True) for i in range(2000)]
    many = np.array([p.n_positive_nodes > 2 for p in patients])
    assert 0.33 < many.mean() < 0.39
    for name, more in (("area_um2", -1), ("aspect", 1), ("density_per_mm2", 1), ("alignment", 1)):
        values = np.array([getattr(p.law, name) for p in patients])
        assert 0.6 < auc(many, more * values) < 0.85, name
    n0 = [draw_patient(patient_rng(6, i), i, positive=False) for i in range(20)]
    assert {p.n_positive_nodes for p in n0} == {0}


def test_splits_keep_the_share_of_either_label():
    labels = draw_labels(0, 40, SMALL)
    splits = split_labels(labels, SMALL)
    assert sum(labels) == 20
    for positive in (False, True):
        mine = [s for s, p in zip(splits, labels, strict=True) if p is positive]
        assert (mine.count("train"), mine.count("val"), mine.count("test")) == (12, 3, 5)


def test_morphometry_of_a_circle_and_an_ellipse():
    def body(a, b):
        zero = np.zeros((1, 2), np.float32)
        axes = np.array([[a, b]], np.float32)
        return Bodies(np.zeros(1, np.int8), zero, axes, np.zeros(1, np.float32), zero, zero)

    circle = morphometry(body(10.0, 10.0))  # radius 5 µm
    assert circle["area_um2"][0] == pytest.approx(np.pi * 25, rel=5e-3)
    assert circle["circumference_um"][0] == pytest.approx(2 * np.pi * 5, rel=2e-3)
    assert circle["circularity"][0] == pytest.approx(1.0, abs=3e-3)
    ellipse = morphometry(body(20.0, 10.0))  # semi-axes 10 and 5 µm, perimeter 48.442 (Ramanujan)
    assert ellipse["area_um2"][0] == pytest.approx(np.pi * 50, rel=5e-3)
    assert ellipse["circumference_um"][0] == pytest.approx(48.442, rel=3e-3)


def test_a_transposed_body_has_the_transposed_contour():
    def contour(body):
        t = np.linspace(0, 2 * np.pi, 200, endpoint=False)
        wave = 1 + sum(body.waves[0, k] * np.cos((k + 3) * t + body.phases_rad[0, k]) for k in (0, 1))
        u, v = wave * body.half_axes_px[0, 0] * np.cos(t), wave * body.half_axes_px[0, 1] * np.sin(t)
        c, s = np.cos(body.angle_rad[0]), np.sin(body.angle_rad[0])
        return shapely.Polygon(np.column_stack([u * c - v * s, u * s + v * c]) + body.xy_px[0])

    rng = np.random.default_rng(0)
    body = make_bodies(rng, "tumour", [[30.0, 50.0]], [[12.0, 7.0]], [0.4], 0.15)
    swapped = shapely.transform(contour(body), lambda xy: xy[:, ::-1])
    assert contour(_transposed(body)).symmetric_difference(swapped).area < 0.5


@pytest.mark.parametrize(("n", "seed"), [(1, 0), (0, 0), (4, -1)])
def test_an_impossible_cohort_is_refused(tmp_path, n, seed):
    with pytest.raises(UsageError, match="cannot be drawn"):
        next(synthesize(tmp_path / "c", n, seed, SMALL))
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(
    "bad",
    [
        {"cores": (0, 1)},
        {"cores": (3, 1)},
        {"core_width_um": (100, 200)},
        {"core_length_um": (900, 50_000)},
        {"train_share": 0.9, "val_share": 0.2},
        {"positive_share": 0.0},
        {"jpeg_quality": 5},
        {"colour": "blue"},
    ],
)
def test_impossible_settings_are_refused(bad):
    with pytest.raises(ValidationError):
        SynthesizeSettings(**bad)


def test_a_folder_that_holds_a_cohort_is_not_overwritten(cohort):
    table = cohort[0].slide.parents[1]
    with pytest.raises(CohortError, match="already holds a cohort"):
        next(synthesize(table, 2, 0, SMALL))


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(CohortError, match="cannot be written"):
        next(synthesize(tmp_path / "file", 2, 0, SMALL))


def begun(folder):
    """Begin a cohort and cut it off; return what its note says."""
    steps = synthesize(folder, 4, 3, SMALL)
    next(steps)
    steps.close()
    return json.loads((folder / "drawing.json").read_text())


def test_the_note_says_what_is_drawn_and_with_which_versions(tmp_path, monkeypatch):
    module = "napari_aln.cohort.synthesize"
    monkeypatch.setattr(f"{module}._write_patient", lambda *_: None)
    monkeypatch.setattr(f"{module}.draw_slide", lambda *_: None)
    first = begun(tmp_path)
    assert (first["patients"], first["seed"], first["jpeg_quality"]) == (4, 3, SMALL.jpeg_quality)
    (versions,) = first["drawn_with"]
    assert versions["numpy"] == np.__version__
    assert {"napari-aln", "python", "scikit-image"} <= set(versions)
    assert begun(tmp_path) == first
    newer = versions | {"napari-aln": "99"}
    monkeypatch.setattr(f"{module}.package_versions", lambda: newer)
    assert begun(tmp_path)["drawn_with"] == [versions, newer]
    # As an earlier version left it, and damaged.
    del first["drawn_with"]
    (tmp_path / "drawing.json").write_text(json.dumps(first, indent=1))
    assert begun(tmp_path)["drawn_with"] == [newer]
    for text in ("{", "[]"):
        (tmp_path / "drawing.json").write_text(text)
        with pytest.raises(CohortError, match="part of a cohort with other settings"):
            begun(tmp_path)


def test_a_cut_off_cohort_has_no_table_and_the_same_call_goes_on(cohort, tmp_path, monkeypatch):
    folder = tmp_path / "c"
    steps = synthesize(folder, 4, 3, SMALL)
    next(steps)
    steps.close()
    assert not (folder / "cohort.csv").exists()
    (folder / "slides" / "S0002.tif").write_bytes(b"killed while it was written")
    with pytest.raises(CohortError, match="part of a cohort with other settings"):
        next(synthesize(folder, 4, 2, SMALL))
    drawn = []

    def counted(rng, patient, settings):
        drawn.append(patient.patient_id)
        return draw_slide(rng, patient, settings)

    monkeypatch.setattr("napari_aln.cohort.synthesize.draw_slide", counted)
    _, table = collect(synthesize(folder, 4, 3, SMALL))
    assert drawn == ["S0002", "S0003", "S0004"]
    for first, second in zip(cohort, read_cohort(table), strict=True):
        assert first.slide.read_bytes() == second.slide.read_bytes()
        assert first.model_copy(update={"slide": None, "roi": None}) == second.model_copy(
            update={"slide": None, "roi": None}
        )
