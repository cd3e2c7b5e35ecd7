"""The learned method: what it is taught, that it learns, and that place does not matter to it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from nucleus_discs import MPP, WIDTHS, discs, trained

from napari_aln.errors import BundleError, UsageError
from napari_aln.mil.bundle import open_bundle
from napari_aln.mil.bundle_names import CARD_NAME, WEIGHTS_NAME
from napari_aln.nuclei import learned, segment
from napari_aln.nuclei.agreement import agreement
from napari_aln.nuclei.bundle import NucleusCard, open_nucleus_bundle, save_nucleus_bundle
from napari_aln.nuclei.learned import Scale
from napari_aln.nuclei.network import MAX_PARAMETERS, NucleusNet, parameter_count, reach_px, stride_px
from napari_aln.nuclei.targets import BETWEEN_WEIGHT, targets_of
from napari_aln.nuclei.tiling import Box, segment_tiles
from napari_aln.nuclei.training import LabelledPicture, seen_mpp
from napari_aln.settings.engine import EngineSettings

CARD = NucleusCard(name="discs", widths=WIDTHS, mpp=MPP, licence="CC0-1.0")
TORCH = EngineSettings(runtime="torch", device="cpu", precision="fp32")


@pytest.fixture(scope="module")
def learning():
    return trained()


@pytest.fixture(scope="module")
def bundle(learning, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "discs.alnmodel"
    return save_nucleus_bundle(CARD, learning[0].state_dict(), path)


@pytest.fixture(scope="module")
def method(bundle):
    return bundle.method(TORCH)


def test_the_full_network_has_at_most_two_million_parameters():
    assert 300_000 < parameter_count(NucleusNet()) <= MAX_PARAMETERS


def test_targets_of_two_touching_squares():
    labels = np.zeros((20, 30), np.int32)
    labels[5:14, 5:14] = 1
    labels[5:14, 14:23] = 2
    targets = targets_of(labels, 0.5)
    assert (targets.foreground == (labels > 0)).all()
    assert targets.depth[9, 9] == targets.depth[9, 18] == 1.0  # innermost
    assert targets.depth[9, 13] == targets.depth[9, 14] == pytest.approx(1 / 5)  # each other's outside
    assert (targets.depth[labels == 0] == 0).all()
    assert targets.weight[9, 13] == BETWEEN_WEIGHT
    assert targets.weight[9, 9] == targets.weight[0, 0] == targets.weight[9, 5] == 1.0


def test_it_learns_discs_and_finds_others(learning, method):
    _, losses = learning
    assert losses[-1] < 0.75 * losses[0]  # a running mean
    rgb, truth = discs(99)
    found = agreement(truth, method.labels(rgb, MPP))
    assert found.f1 > 0.9
    assert found.aji > 0.75


@pytest.mark.parametrize("factor", [2, 0.5])
def test_other_resolutions_give_labels_of_the_picture_itself(method, factor):
    rgb, truth = discs(98)
    if factor == 2:  # 0.125 µm/px
        rgb, truth = (np.repeat(np.repeat(x, 2, axis=0), 2, axis=1) for x in (rgb, truth))
    else:
        rgb, truth = rgb.reshape(128, 2, 128, 2, 3).mean(axis=(1, 3)).astype(np.uint8), truth[1::2, 1::2]
    labels = method.labels(rgb, MPP / factor)
    assert labels.shape == truth.shape
    assert agreement(truth, labels).f1 > 0.85


@pytest.mark.parametrize("shape", [(1, 1), (7, 300), (33, 1)])
def test_pictures_of_any_size(method, shape):
    labels = method.labels(np.full((*shape, 3), 230, np.uint8), MPP)
    assert labels.shape == shape
    assert labels.dtype == np.int32


@pytest.mark.parametrize(
    ("mpp", "shrink", "enlarge"), [(0.25, 1, 1), (0.22, 1, 1), (0.5, 1, 2), (0.125, 2, 1), (20.0, 1, 4)]
)
def test_the_working_resolution_is_whole_pixels(mpp, shrink, enlarge):
    scale = Scale(mpp, 0.25)
    assert (scale.shrink, scale.enlarge) == (shrink, enlarge)
    assert scale.worked(np.zeros((40, 60, 3), np.uint8)).shape[:2] == (
        -(-40 // shrink) * enlarge,
        -(-60 // shrink) * enlarge,
    )


def test_pictures_sharper_than_those_learned_from_are_softened():
    sharp = np.zeros((64, 66, 3), np.uint8)
    sharp[:, ::2] = 200
    assert Scale(0.25, 0.25).worked(sharp, 0.3).std() == pytest.approx(100, abs=1)
    soft = Scale(0.25, 0.25).worked(sharp, 0.5)
    assert soft.shape == sharp.shape
    assert soft.std() == 0
    assert Scale(0.5, 0.25).worked(sharp, 0.5).std() > 50  # no sharper than what was learned from


def test_what_is_shown_most_says_how_sharp_pictures_were():
    rgb, labels = discs(0)
    fine = LabelledPicture("fine", rgb, labels, 0.25)
    coarse = [LabelledPicture(f"{k}", rgb, labels, 0.5) for k in range(2)]
    assert seen_mpp([fine]) == 0.25
    assert seen_mpp([fine, *coarse]) == 0.5


def test_nothing_further_than_its_reach_bears_on_a_pixel(learning):
    network, reach, stride = learning[0], reach_px(WIDTHS), stride_px(WIDTHS)
    side = 2 * reach + 4 * stride
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, side, side, 3), np.uint8))
    other = pixels.clone()
    other[:, :, : side // 2 - reach] = 0
    with torch.inference_mode():
        before, after = network(pixels), network(other)
    for fold, a, b in zip((1, 2), before, after, strict=True):
        assert torch.equal(a[..., side // 2 // fold :], b[..., side // 2 // fold :])
        assert not torch.equal(a, b)


def test_windows_do_not_show(method, monkeypatch):
    rgb = np.concatenate([discs(1)[0], discs(2)[0], discs(3)[0]], axis=1)[:250, :700]
    whole = method.seen(rgb)
    monkeypatch.setattr(learned, "MOST_SIDE_PX", 224)
    parts = method.seen(rgb)
    for a, b in zip(whole, parts, strict=True):
        assert np.abs(a - b).max() < 1e-4


@pytest.mark.parametrize("tile_px", [150, 400])
def test_tiles_give_the_nuclei_of_the_whole_picture(bundle, method, tile_px):
    rgb = np.concatenate([np.concatenate([discs(k)[0], discs(k + 1)[0]], axis=1) for k in (10, 12)])
    rgb = np.ascontiguousarray(rgb[:501, :507])
    whole = method.labels(rgb, MPP)
    seen, count = np.zeros(whole.shape, bool), 0
    tiles = segment_tiles(
        lambda x, y, w, h: rgb[y : y + h, x : x + w],
        Box(0, 0, 507, 501),
        MPP,
        str(bundle.path),
        tile_px=tile_px,
    )
    for tile in tiles:
        mine = tile.labels > 0
        part = seen[tile.y : tile.y + mine.shape[0], tile.x : tile.x + mine.shape[1]]
        assert not part[mine].any()
        part[mine] = True
        count += tile.nuclei
    assert count == whole.max() > 100
    assert (seen != (whole > 0)).mean() < 1e-4


def test_a_bundle_comes_back_as_it_was_and_its_path_names_the_method(bundle, learning):
    again = open_nucleus_bundle(bundle.path)
    assert again.card == bundle.card
    assert again.card.weights_sha256
    rgb, truth = discs(97)
    assert agreement(truth, segment(rgb, MPP, str(bundle.path))).f1 > 0.9
    network = learning[0]
    pixels = torch.from_numpy(rgb[None])
    with torch.inference_mode():
        apart = (network(pixels)[0] - again.network()(pixels)[0]).abs().max()
    assert apart < 0.02  # weights are stored as fp16


def test_openvino_says_the_same(bundle, method):
    rgb, truth = discs(96)
    labels = bundle.method(EngineSettings(runtime="openvino", precision="fp32")).labels(rgb, MPP)
    assert agreement(method.labels(rgb, MPP), labels).pq > 0.99
    assert agreement(truth, labels).f1 > 0.9


def as_folder(bundle, path):
    return save_nucleus_bundle(bundle.card, bundle.tensors, path).path


def test_changed_weights_and_cards_are_refused(bundle, tmp_path):
    folder = as_folder(bundle, tmp_path / "m")
    weights = folder / WEIGHTS_NAME
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(BundleError, match="SHA-256"):
        open_nucleus_bundle(folder)
    weights.write_bytes(whole)
    card = folder / CARD_NAME
    text = card.read_text()
    for changed, fact in (
        (text.replace('"kind": "nuclei"', '"kind": "bag"'), "no nucleus model"),
        (text.replace('"schema_version": 2', '"schema_version": 3'), "newer version"),
        (text.replace('"mpp": 0.25', '"mpp": true'), "mpp"),
        ("{", "not valid JSON"),
    ):
        card.write_text(changed)
        with pytest.raises(BundleError, match=fact):
            open_nucleus_bundle(folder)


def test_a_card_of_version_1_says_nothing_of_its_training_and_opens(bundle, tmp_path):
    folder = as_folder(bundle, tmp_path / "m")
    card = json.loads((folder / CARD_NAME).read_bytes())
    del card["training"]
    (folder / CARD_NAME).write_text(json.dumps(card | {"schema_version": 1}))
    assert open_nucleus_bundle(folder).card == bundle.card.model_copy(update={"schema_version": 1})


def test_a_nucleus_model_is_no_model_of_bags(bundle):
    with pytest.raises(BundleError, match="finds nuclei"):
        open_bundle(bundle.path)


def test_weights_of_another_network_are_refused(bundle, tmp_path):
    with pytest.raises(BundleError, match=r"down\.0\.0\.weight.* is \(8, 12, 3, 3\), not \(12, 12, 3, 3\)"):
        save_nucleus_bundle(
            CARD.model_copy(update={"widths": (12, 16, 24)}), bundle.tensors, tmp_path / "m.alnmodel"
        )
    with pytest.raises(BundleError, match="more than 2000000 parameters"):
        save_nucleus_bundle(CARD.model_copy(update={"widths": (256, 512)}), bundle.tensors, tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


def test_a_method_that_is_no_name_and_no_file():
    with pytest.raises(UsageError, match="No method 'best'"):
        segment(np.zeros((9, 9, 3), np.uint8), 0.25, "best")
    with pytest.raises(BundleError, match=r"no model bundle at missing\.alnmodel"):
        segment(np.zeros((9, 9, 3), np.uint8), 0.25, "missing.alnmodel")
