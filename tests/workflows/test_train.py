"""The small trainer end to end on a tiny synthetic cohort: what it writes, and what it refuses."""

import numpy as np
import pytest
from tests_shared import collect

import napari_aln
import napari_aln.slides
from napari_aln.cohort.synthesize import synthesize
from napari_aln.cohort.table import read_cohort, write_cohort
from napari_aln.errors import CohortError, StoreError, UsageError
from napari_aln.geometry import Rect
from napari_aln.mil.bundle import open_bundle, save_bundle
from napari_aln.settings import SynthesizeSettings, TrainSettings
from napari_aln.workflows.train import _read, rendition, train

COHORT = SynthesizeSettings(
    core_width_um=(400, 450), core_length_um=(700, 800), train_share=0.5, val_share=0.25
)
QUICK = TrainSettings(
    patches_per_slide=4,
    encoder_steps=3,
    encoder_whole_steps=1,
    encoder_batch=8,
    head_epochs=3,
    bags_per_epoch=1,
)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    folder = tmp_path_factory.mktemp("train") / "cohort"
    return collect(synthesize(folder, 8, 1, COHORT))[1]


@pytest.fixture(scope="module")
def whole_slide(table, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "ws.alnmodel"
    seen, bundle = collect(train(table, "dlcnbc-ws", path, QUICK))
    return seen, bundle


def test_the_bundle_is_whole_and_its_card_says_what_it_is(whole_slide, table):
    seen, bundle = whole_slide
    card = open_bundle(bundle.path).card
    assert card == bundle.card
    assert card.mode == "dlcnbc-ws"
    assert (card.patch_px, card.mpp, card.bag_size, card.weights_dtype) == (256, 0.5, 10, "fp16")
    assert bundle.path.stat().st_size < 5_000_000
    assert "Demonstration model, trained on synthetic tissue, no clinical meaning" in card.description
    assert "pre-trained on synthetic patch labels" in card.description
    assert card.notice == "Research use only. Not a diagnosis."
    rows = [row for row in read_cohort(table) if row.split == "train"]
    assert card.training_cohort.n_patients == len(rows) == 4
    assert card.training_cohort.n_per_class == {"N(+)": 2, "N0": 2}
    assert card.training_cohort.stain is not None
    assert card.clinical is not None
    assert card.clinical.age_years.mean == pytest.approx(sum(row.age_years for row in rows) / 4)
    er_negative = sum(row.er == "-" for row in rows) / 4
    assert card.clinical.er_negative_share == pytest.approx(er_negative)
    assert [(m.name, m.n, m.cohort) for m in card.metrics] == [
        ("AUC", 2, "test"),
        ("ACC", 2, "test"),
        ("SENS", 2, "test"),
        ("SPEC", 2, "test"),
        ("AUC", 2, "validation"),
    ]
    assert card.thresholds[0].operating_point == "Youden"
    assert card.patch_filters.min_entropy_bits == QUICK.patches.min_entropy_bits
    assert {p.step.split(",")[0] for p in seen} == {
        "read patches",
        "train encoder",
        "encode slides",
        "train head",
        "measure",
    }


def test_the_saved_metrics_are_those_of_predict(whole_slide, table):
    _, bundle = whole_slide
    scores = {}
    for row in read_cohort(table):
        if row.split == "test":
            with napari_aln.open_slide(row.slide) as slide:
                result = napari_aln.predict(slide, bundle, clinical=row.clinical)
            scores[row.label] = result.runs[0].probabilities["N(+)"]
    expected = float(scores["N(+)"] > scores["N0"])
    assert bundle.card.metrics[0].value == expected


def test_a_second_mode_takes_the_trained_encoder(whole_slide, table, tmp_path):
    _, first = whole_slide
    settings = QUICK.model_copy(update={"encoder_from": first.path, "name": "ROI demo"})
    seen, second = collect(train(table, "dlcnb", tmp_path / "roi.alnmodel", settings))
    assert second.card.name == "ROI demo"
    assert second.card.clinical is None
    shared = [key for key in first.tensors if key.startswith("encoder.")]
    assert shared
    assert all((first.tensors[key] == second.tensors[key]).all() for key in shared)
    assert "train encoder" not in {p.step.split(",")[0] for p in seen}
    other = QUICK.model_copy(update={"encoder_from": first.path, "encoder": "mobilenet_v3_small"})
    with pytest.raises(UsageError, match="holds a squeezenet1_1, not a mobilenet_v3_small"):
        collect(train(table, "dlcnb", tmp_path / "x.alnmodel", other))


def test_a_place_that_cannot_be_written_is_refused_before_the_work(table, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="could not be written"):
        next(train(table, "dlcnbc-ws", tmp_path / "file" / "m.alnmodel", QUICK))


def test_closing_the_generator_leaves_no_bundle(table, tmp_path):
    steps = train(table, "dlcnbc-ws", tmp_path / "m.alnmodel", QUICK)
    next(steps)
    steps.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("column", "mode", "told"),
    [
        ("label", "dlcnbc-ws", "has no label"),
        ("split", "dlcnbc-ws", "has no split"),
        ("slide", "dlcnbc-ws", "has no slide"),
        ("roi", "dlcnbc", "has no roi"),
        ("roi", "dlcnbc-ws", "no truth of the nuclei"),
    ],
)
def test_a_table_that_lacks_something_is_refused(table, tmp_path, column, mode, told):
    empty = dict.fromkeys([column, "n_positive_nodes", "aln_class"] if column == "label" else [column])
    rows = [row.model_copy(update=empty) for row in read_cohort(table)]
    write_cohort(tmp_path / "cohort.csv", rows)
    with pytest.raises(CohortError, match=told):
        collect(train(tmp_path / "cohort.csv", mode, tmp_path / "m.alnmodel", QUICK))


def test_a_split_without_both_labels_is_refused(table, tmp_path):
    rows = [row for row in read_cohort(table) if row.split != "val" or not row.is_positive]
    write_cohort(tmp_path / "cohort.csv", rows)
    with pytest.raises(CohortError, match=r"val split of .* has not both labels"):
        collect(train(tmp_path / "cohort.csv", "dlcnbc-ws", tmp_path / "m.alnmodel", QUICK))


def test_a_rendition_is_the_same_picture_stored_otherwise():
    rng = np.random.default_rng(0)
    smooth = np.linspace(60, 200, 64)[None, :, None, None] * np.ones((2, 1, 64, 3))
    pixels = smooth.astype(np.uint8)
    stored = rendition(pixels, rng)
    assert (stored.shape, stored.dtype) == (pixels.shape, np.uint8)
    assert (stored != pixels).any()
    ratio = stored.mean(axis=(1, 2)) / pixels.mean(axis=(1, 2))
    assert ((ratio > 0.87) & (ratio < 1.13)).all()
    assert not np.array_equal(stored[0], stored[1])  # each patch draws its own
    np.testing.assert_array_equal(stored, rendition(pixels, np.random.default_rng(0)))


@pytest.mark.parametrize("mode", ["dlcnbc", "dlcnbc-ws"])
def test_training_takes_the_patches_that_predict_takes(whole_slide, table, tmp_path, mode):
    _, bundle = whole_slide
    card = bundle.card.model_copy(update={"mode": mode})
    bundle = save_bundle(card, bundle.tensors, tmp_path / "same.alnmodel")
    row = read_cohort(table)[0]
    read = _read(row, card, QUICK)
    with napari_aln.open_slide(row.slide) as slide:
        result = napari_aln.predict(slide, bundle, row.roi, row.clinical)
        first = napari_aln.slides.read_patch(slide, Rect(*read.table.l0_xy[0], 256, 256), 256)
    assert read.table.cell.tolist() == result.scores[mode].table.cell.tolist()
    assert np.abs(first.mean((0, 1)) - read.pixels[0].mean((0, 1))).max() < 1.0
