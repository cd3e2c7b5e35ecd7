"""Nuclei of drawn pictures: how many, how large, apart where they touch; and whatever else may come."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_aln.errors import AlnError, MppError, UsageError
from napari_aln.nuclei import segment
from napari_aln.nuclei.scale import estimate_mpp
from napari_aln.nuclei.stain import MIN_CONTRAST, fit_stain, haematoxylin

H_OD, E_OD = np.array([0.55, 0.65, 0.30]), np.array([0.04, 0.30, 0.18])
DAB_OD = np.array([0.25, 0.55, 0.75])


def draw(shapes, size=(400, 400), *, mpp=0.25, h=1.0, e=0.7, glass=235.0, h_od=H_OD, e_od=E_OD, seed=1):
    """Ellipses (x, y, a, b, angle), µm, of haematoxylin on eosin, with blur and noise; and their areas."""
    y, x = (np.indices(size) + 0.5) * mpp
    ink, areas = np.zeros(size), []
    for cx, cy, a, b, angle in shapes:
        c, s = np.cos(angle), np.sin(angle)
        inside = np.hypot(((x - cx) * c + (y - cy) * s) / a, ((y - cy) * c - (x - cx) * s) / b) <= 1
        ink[inside] = 1
        areas.append(inside.sum() * mpp**2)
    ink = ndimage.gaussian_filter(ink, 0.3 / mpp)
    od = ink[..., None] * h * h_od + (1 - 0.5 * ink)[..., None] * e * e_od
    noise = np.random.default_rng(seed).normal(0, 1.5, (*size, 3))
    return np.clip(glass * 10**-od + noise + 0.5, 0, 255).astype(np.uint8), np.array(areas)


def disc(x, y, r):
    return x, y, r, r, 0.0


APART = [disc(14 + 18 * i, 14 + 18 * j, 3.0 + 0.25 * (i + j)) for i in range(5) for j in range(5)]


def areas_at(labels, shapes, mpp):
    """Area (µm²) of the label at each shape's centre, 0 where there is none."""
    counts = np.bincount(labels.ravel()) * mpp**2
    counts[0] = 0
    return np.array([counts[labels[int(y / mpp), int(x / mpp)]] for x, y, *_ in shapes])


@pytest.mark.parametrize("mpp", [0.2, 0.25, 0.35, 0.5])
def test_discs_apart_are_all_found_with_their_areas(mpp):
    size = (int(100 / mpp), int(100 / mpp))
    rgb, true = draw(APART, size, mpp=mpp)
    labels = segment(rgb, mpp)
    assert labels.dtype == np.int32
    assert labels.shape == size
    assert labels.max() == len(np.unique(labels)) - 1 == len(APART)
    assert np.abs(areas_at(labels, APART, mpp) / true - 1).max() < 0.08
    assert abs(np.mean(areas_at(labels, APART, mpp) / true) - 1) < 0.04


@pytest.mark.parametrize("gap_um", [-0.6, -0.3, 0.0])
def test_touching_discs_are_split_between_their_centres(gap_um):
    pairs, r = [], 3.6
    for i in range(4):
        for j in range(4):
            x, y, angle = 15 + 22 * i, 15 + 22 * j, 0.4 * (i + 4 * j)
            half = r + gap_um / 2
            dx, dy = half * np.cos(angle), half * np.sin(angle)
            pairs += [disc(x - dx, y - dy, r), disc(x + dx, y + dy, r)]
    rgb, _ = draw(pairs)
    labels = segment(rgb, 0.25)
    assert labels.max() == len(pairs)
    areas = areas_at(labels, pairs, 0.25)
    assert np.abs(areas[::2] / areas[1::2] - 1).max() < 0.15
    assert np.abs((areas[::2] + areas[1::2]) / 2 / (np.pi * r**2) - 1).max() < 0.1


def test_an_elongated_nucleus_stays_one():
    shapes = [(14 + 24 * i, 14 + 24 * j, 8.0, 2.6, 0.5 * (i + 4 * j)) for i in range(4) for j in range(4)]
    rgb, true = draw(shapes)
    labels = segment(rgb, 0.25)
    assert labels.max() == len(shapes)
    assert np.abs(areas_at(labels, shapes, 0.25) / true - 1).max() < 0.1


def test_a_pale_and_a_dark_nucleus_of_one_picture_are_both_found():
    dark, _ = draw(APART[::2], h=1.3)
    pale, _ = draw(APART[1::2], h=0.5)
    labels = segment(np.minimum(dark, pale), 0.25)
    assert (areas_at(labels, APART, 0.25) > 0).sum() >= len(APART) - 1


def test_a_vesicular_nucleus_is_filled():
    x, y, r = 50.0, 50.0, 6.0
    ring, _ = draw([disc(x, y, r)])
    hole, _ = draw([disc(x, y, r - 1.6)], h=0.75)
    plain, _ = draw([])
    rgb = np.clip(ring.astype(int) + plain - hole, 0, 255).astype(np.uint8)
    others, _ = draw(APART[:5])
    labels = segment(np.minimum(rgb, others), 0.25)
    assert areas_at(labels, [disc(x, y, r)], 0.25)[0] == pytest.approx(np.pi * r**2, rel=0.1)


@pytest.mark.parametrize(
    "look",
    [
        {"h": 0.5, "e": 0.4},
        {"h": 1.8, "e": 1.2},
        {"glass": 190.0},
        {"h_od": np.array([0.60, 0.55, 0.22])},
        {"h_od": np.array([0.45, 0.70, 0.35]), "e_od": np.array([0.09, 0.35, 0.12])},
        {"e": 0.0},
    ],
    ids=["pale", "dark", "grey glass", "blue", "red", "no eosin"],
)
def test_other_stains_and_scanners_give_the_same_nuclei(look):
    rgb, true = draw(APART, **look)
    labels = segment(rgb, 0.25)
    assert labels.max() == len(APART)
    assert np.abs(areas_at(labels, APART, 0.25) / true - 1).max() < 0.1


def test_eosin_is_taken_off_the_red_density():
    strong = np.array([0.15, 0.40, 0.20])
    rgb, _ = draw(APART, e_od=strong)
    rgb[:, :60] = 235  # glass
    stain = fit_stain([rgb])
    assert 0.05 < stain.eosin_ratio <= 0.15
    eosin_only = np.full((4, 4, 3), (235 * 10 ** (-0.7 * strong)).astype(np.uint8))
    wanted = 0.7 * (0.15 - stain.eosin_ratio * 0.40)
    assert haematoxylin(eosin_only, stain).mean() == pytest.approx(wanted, abs=0.01)
    assert stain.rest < stain.threshold < stain.nuclear


@pytest.mark.parametrize(
    "rgb",
    [
        np.full((300, 300, 3), 255, np.uint8),
        np.full((300, 300, 3), 0, np.uint8),
        np.full((300, 300, 3), 190, np.uint8),
        draw([], e=0.0)[0],
        draw([], e=0.8)[0],
        np.full((1, 1, 3), 90, np.uint8),
        np.full((1, 500, 3), 90, np.uint8),
        np.full((3, 2, 3), 90, np.uint8),
        np.zeros((0, 40, 3), np.uint8),
    ],
    ids=["white", "black", "grey", "noisy glass", "eosin", "one px", "one row", "tiny", "empty"],
)
@pytest.mark.parametrize("mpp", [0.25, 0.5, None])
def test_a_picture_without_nuclei_gives_none(rgb, mpp):
    labels = segment(rgb, mpp)
    assert labels.shape == rgb.shape[:2]
    assert labels.dtype == np.int32
    assert not labels.any()


def test_a_blank_picture_has_no_contrast():
    assert fit_stain([]).contrast == 0
    assert fit_stain([np.full((50, 50, 3), 250, np.uint8)]).contrast < MIN_CONTRAST


def test_noise_of_any_kind_is_survived():
    rgb = np.random.default_rng(0).integers(0, 256, (257, 131, 3), np.uint8)
    for mpp in (0.05, 0.25, 1.0, 20.0):
        assert segment(rgb, mpp).shape == (257, 131)


def test_a_blurred_picture_gives_connected_labels_or_none():
    rgb, _ = draw(APART)
    blurred = ndimage.gaussian_filter(rgb.astype(float), (12, 12, 0)).astype(np.uint8)
    labels = segment(blurred, 0.25)
    assert labels.max() <= len(APART)


def test_brown_immunostain_does_not_stop_it():
    rgb, _ = draw(APART, h_od=DAB_OD, e_od=np.array([0.10, 0.08, 0.04]))
    assert segment(rgb, 0.25).shape == rgb.shape[:2]


def test_debris_and_giants_are_left_out():
    specks = [disc(10 + 9 * i, 96.5, 0.9) for i in range(9)]
    rgb, _ = draw([*APART[:15], *specks, (75.0, 40.0, 22.0, 18.0, 0.3)])
    labels = segment(rgb, 0.25)
    areas = np.bincount(labels.ravel())[1:] * 0.25**2
    assert (areas_at(labels, specks, 0.25) == 0).all()
    assert areas.max() <= 400
    assert areas_at(labels, [disc(75.0, 40.0, 1)], 0.25)[0] == 0


def test_every_label_is_one_piece():
    rng = np.random.default_rng(7)
    shapes = [(*rng.uniform(0, 100, 2), *rng.uniform(2, 5, 2), rng.uniform(0, 3)) for _ in range(120)]
    labels = segment(draw(shapes)[0], 0.25)
    assert labels.max() > 40
    for label, box in enumerate(ndimage.find_objects(labels), start=1):
        assert ndimage.label(labels[box] == label)[1] == 1


def test_a_shift_moves_the_nuclei_along():
    rgb, _ = draw(APART)
    shifted = np.roll(rgb, (8, 16), axis=(0, 1))
    a, b = np.roll(segment(rgb, 0.25) > 0, (8, 16), axis=(0, 1)), segment(shifted, 0.25) > 0
    inner = np.s_[40:-40, 40:-40]
    assert (a[inner] != b[inner]).mean() < 1e-3


@pytest.mark.parametrize("mpp", [0.2, 0.25, 0.4])
def test_without_mpp_the_scale_comes_from_the_nuclei(mpp):
    shapes = [disc(14 + 18 * i, 14 + 18 * j, 3.0) for i in range(5) for j in range(5)]  # 28 µm²
    rgb, true = draw(shapes, (int(100 / mpp), int(100 / mpp)), mpp=mpp)
    assert estimate_mpp(rgb) == pytest.approx(mpp, rel=0.1)
    labels = segment(rgb, None)
    assert labels.max() == len(shapes)
    assert np.abs(areas_at(labels, shapes, mpp) / true - 1).max() < 0.1


def test_what_cannot_be_segmented_is_refused():
    rgb, _ = draw(APART[:3], (100, 100))
    for mpp in (0.0, -0.25, 50.0, float("nan")):
        with pytest.raises(MppError, match="impossible"):
            segment(rgb, mpp)
    with pytest.raises(UsageError, match="classical"):
        segment(rgb, 0.25, method="magic")
    for wrong in (rgb[..., 0], rgb.astype(float), np.dstack([rgb, rgb[..., :1]])):
        with pytest.raises(AlnError, match="RGB"):
            segment(wrong, 0.25)


def test_marking_dye_is_no_nucleus():
    dye = np.array([0.75, 0.15, 0.25])
    tissue, _ = draw(APART[:15])
    marked, _ = draw([disc(86, 20 + 15 * i, 4.0) for i in range(5)], h_od=dye)
    labels = segment(np.minimum(tissue, marked), 0.25)
    assert (areas_at(labels, APART[:15], 0.25) > 0).all()
    assert labels.max() == 15
