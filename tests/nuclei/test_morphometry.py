"""Known shapes at many rotations, sizes and µm/px; exact values where pixels are squares; bad input."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ellipe

from napari_aln.errors import MppError, UsageError
from napari_aln.geometry import Mpp
from napari_aln.nuclei import measure
from napari_aln.nuclei import runs as runs_module
from napari_aln.nuclei.crofton import _RowsApart, directions
from napari_aln.nuclei.stain import Stain

GLASS = Stain(glass_rgb=(255, 255, 255), eosin_ratio=0.0, threshold=0.2, rest=0.1, nuclear=0.5)


def ellipses(half_um, rotations, mpp=(1.0, 1.0), seed=0):
    """Draw one ellipse a rotation, each by itself and off the pixels' raster; the labels 1, 2, …"""
    rng = np.random.default_rng(seed)
    side = int(2 * max(half_um) / min(mpp) + 10)
    y, x = np.mgrid[:side, :side] + 0.5
    drawn = []
    for number, angle in enumerate(rotations, start=1):
        at = side / 2 + rng.uniform(-0.5, 0.5, 2)
        right, down = (x - at[0]) * mpp[0], (y - at[1]) * mpp[1]
        along = right * np.cos(angle) + down * np.sin(angle)
        across = down * np.cos(angle) - right * np.sin(angle)
        inside = (along / half_um[0]) ** 2 + (across / half_um[1]) ** 2 < 1
        drawn.append(np.where(inside, number, 0))
    return np.hstack(drawn)


def perimeter(half_um):
    large, small = max(half_um), min(half_um)
    return 4 * large * ellipe(1 - (small / large) ** 2)


ROTATIONS = np.linspace(-np.pi / 2, np.pi / 2, 37)[1:]
CASES = [
    *(((radius, radius / aspect), (1.0, 1.0)) for radius, aspect in ((8, 1), (9.3, 1), (12, 1), (40, 1))),
    *(((8 * aspect, 8), (1.0, 1.0)) for aspect in (1.2, 1.5, 2, 3, 4)),
    *(((4.0 * aspect, 4.0), (0.5, 0.5)) for aspect in (1, 2.5)),
    *(((8 * aspect, 8), mpp) for aspect in (1, 1.5, 3) for mpp in ((1.0, 0.5), (0.5, 1.0), (0.67, 1.0))),
]


@pytest.mark.parametrize(("half_um", "mpp"), CASES)
def test_discs_and_ellipses_at_any_rotation(half_um, mpp):
    table = measure(ellipses(half_um, ROTATIONS, mpp), mpp)
    large, small = half_um
    np.testing.assert_allclose(table["circumference_um"], perimeter(half_um), rtol=0.02)
    assert abs(table["circumference_um"].mean() / perimeter(half_um) - 1) < 0.003  # all but unbiased
    assert abs(table["area_um2"].mean() / (np.pi * large * small) - 1) < 0.01
    np.testing.assert_allclose(table["major_axis_um"], 2 * large, rtol=0.03)
    np.testing.assert_allclose(table["minor_axis_um"], 2 * small, rtol=0.03)
    if large > small:
        turned = np.angle(np.exp(2j * (table["orientation_rad"] - ROTATIONS))) / 2
        assert np.abs(turned).max() < np.radians(3 if large > 1.4 * small else 8)
        np.testing.assert_allclose(table["eccentricity"], np.sqrt(1 - (small / large) ** 2), atol=0.05)


@pytest.mark.parametrize("middle", [(0, 0), (0.5, 0.5), (0.5, 0)])
def test_discs_that_lie_on_the_raster(middle):
    for radius in range(8, 26):
        y, x = np.mgrid[-30:31, -30:31]
        distance = np.hypot(x - middle[0], y - middle[1])
        for inside in (distance <= radius, distance < radius):
            found = measure(inside.astype(int), 1.0)["circumference_um"].item()
            # Pixels that touch the circle from outside or inside are so many that the disc itself is another.
            assert found == pytest.approx(2 * np.pi * radius, rel=0.022)


def test_a_disc_is_circular():
    table = measure(ellipses((30, 30), ROTATIONS), 0.25)
    np.testing.assert_allclose(table["circularity"], 1.0, atol=0.015)
    np.testing.assert_allclose(table["rectangularity"], np.pi / 4, rtol=0.04)
    assert (table["solidity"] > 0.95).all()


def test_a_rectangle():
    labels = np.zeros((20, 30), np.uint16)
    labels[4:8, 10:22] = 9
    (row,) = measure(labels, (0.5, 0.25)).to_dict("records")
    assert row["label"] == 9
    assert row["area_um2"] == 12 * 0.5 * 4 * 0.25
    assert row["major_axis_um"] == pytest.approx(4 * 6 / np.sqrt(12))
    assert row["minor_axis_um"] == pytest.approx(4 * 1 / np.sqrt(12))
    assert row["orientation_rad"] == 0
    assert row["rectangularity"] == row["solidity"] == 1
    assert (row["centroid_x_px"], row["centroid_y_px"]) == (16, 6)
    assert not row["on_border"]


def test_orientation_rises_clockwise_from_the_right():
    labels = np.zeros((40, 40), int)
    for i in range(10):
        labels[5 + i, 5 + i] = 1  # down to the right
        labels[15 - i, 25 + i] = 2  # up to the right
        labels[25 + i, 10] = 3
    table = measure(labels, 0.5)
    np.testing.assert_allclose(table["orientation_rad"], [np.pi / 4, -np.pi / 4, np.pi / 2])


def test_one_pixel():
    (row,) = measure(np.pad([[5]], 2), 2.0).to_dict("records")
    assert (row["area_um2"], row["rectangularity"], row["solidity"], row["eccentricity"]) == (4, 1, 1, 0)
    assert row["major_axis_um"] == row["minor_axis_um"] == pytest.approx(2 * 4 / np.sqrt(12))
    assert np.isnan(row["orientation_rad"])
    assert np.isnan(row["nearest_um"])
    assert row["circumference_um"] > 0


@pytest.mark.parametrize("shape", [(5, 7), (0, 7), (5, 0), (0, 0)])
def test_no_nucleus(shape):
    table = measure(np.zeros(shape, np.int32), 0.5, np.zeros((*shape, 3), np.uint8))
    assert len(table) == 0
    whole = measure(np.ones((1, 1), np.int32), 0.5)
    assert list(table.dtypes.items()) == list(whole.dtypes.items())


def test_labels_that_skip_numbers_and_touch_each_other():
    labels = np.array([[0] * 8, [0, 70, 70, 70, 3, 3, 3, 0], [0, 70, 70, 70, 3, 3, 3, 0], [0] * 8])
    table = measure(labels, 1.0)
    assert table["label"].tolist() == [3, 70]
    assert table["area_um2"].tolist() == [6, 6]
    assert table["centroid_x_px"].tolist() == [5.5, 2.5]
    assert table["circumference_um"].iloc[0] == pytest.approx(table["circumference_um"].iloc[1])
    assert table["nearest_um"].tolist() == [3, 3]
    assert table["second_nearest_um"].isna().all()


def test_the_picture_s_border():
    labels = np.zeros((30, 40), int)
    labels[0:3, 5:8], labels[27:30, 5:8], labels[10:13, 0:3], labels[10:13, 37:40] = 1, 2, 3, 4
    labels[1:3, 12:15], labels[26:29, 1:4], labels[15:18, 36:39] = 5, 6, 7
    assert measure(labels, 0.5)["on_border"].tolist() == [True] * 4 + [False] * 3


def blotches(seed, side=60):
    from scipy import ndimage

    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal((side, side)), 1.5)
    return ndimage.label(noise > 0.1)[0]


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.sampled_from([(1.0, 1.0), (0.5, 0.3), (0.25, 0.75)]))
def test_hull_and_rectangle_are_those_of_the_pixels_as_squares(seed, mpp):
    labels = blotches(seed)
    table = measure(labels, mpp)
    for row in table.itertuples():
        y, x = np.nonzero(labels == row.label)
        squares = shapely.box(x * mpp[0], y * mpp[1], (x + 1) * mpp[0], (y + 1) * mpp[1])
        whole = shapely.union_all(squares)
        assert row.area_um2 == pytest.approx(whole.area)
        assert row.solidity == pytest.approx(whole.area / whole.convex_hull.area)
        around = shapely.minimum_rotated_rectangle(whole)
        assert row.rectangularity == pytest.approx(whole.area / around.area)
        assert row.centroid_x_px * mpp[0] == pytest.approx(whole.centroid.x)
        assert row.centroid_y_px * mpp[1] == pytest.approx(whole.centroid.y)


def test_moments_as_scikit_image_has_them():
    from skimage.measure import regionprops

    labels = blotches(3, 120)
    table = measure(labels, 1.0)
    for row, region in zip(table.itertuples(), regionprops(labels), strict=True):
        for ours, theirs in (
            (row.major_axis_um, region.axis_major_length),
            (row.minor_axis_um, region.axis_minor_length),
        ):
            # The extent of a pixel, 1/12 px², is left out there.
            assert ours**2 - 16 / 12 == pytest.approx(theirs**2, abs=1e-6)


def test_parts_and_bands_change_nothing(monkeypatch):
    labels = blotches(5, 150)
    labels[labels > 0] = np.random.default_rng(0).permutation(labels.max() + 1)[labels[labels > 0]] + 1
    rgb = np.random.default_rng(1).integers(0, 255, (*labels.shape, 3), np.uint8)
    whole = measure(labels, (0.5, 0.4), rgb, stain=GLASS)
    monkeypatch.setattr(runs_module, "PART_RUNS", 40)
    monkeypatch.setattr(runs_module, "BAND_PX", 1000)
    monkeypatch.setattr("napari_aln.nuclei.intensity.BAND_PX", 1000)
    divided = measure(np.asfortranarray(labels), (0.5, 0.4), rgb, stain=GLASS)
    np.testing.assert_allclose(divided.to_numpy(float), whole.to_numpy(float), rtol=1e-5)


def test_shares_of_the_half_circle_add_up():
    for mpp in (Mpp(1, 1), Mpp(1, 2), Mpp(0.7, 0.3)):
        found = directions(mpp)
        assert len(found) >= 12
        assert sum(direction.share_rad for direction in found) == pytest.approx(np.pi)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.sampled_from([(0, 1), (2, 1), (-3, 1), (1, 2), (-1, 3)]))
def test_neighbours_are_counted_pixel_by_pixel(seed, step):
    labels = np.random.default_rng(seed).integers(0, 4, (9, 25)) // 2 + np.array([0, 5] * 12 + [0])
    labels[[2, 3]] = 0  # rows without
    (dx, dy), n = step, 40
    wide = np.pad(labels, 5)
    same = (wide == np.roll(wide, (-dy, -dx), axis=(0, 1))) & (wide > 0)
    expected = np.bincount(wide[same], minlength=n)
    runs = runs_module.runs_of(labels)
    np.testing.assert_array_equal(_RowsApart(runs, dy).shared_px(dx), expected[runs.label])


def test_haematoxylin_mean_and_texture():
    labels = np.zeros((6, 9), int)
    labels[1:5, 1:5], labels[1:5, 5:8] = 1, 2
    rgb = np.full((6, 9, 3), 255, np.uint8)
    rgb[1:5, 1:5, :2] = 25  # green too: red alone is no haematoxylin, but marking dye
    rgb[1:5, 5:8, :2] = np.array([15, 63, 15, 63])[:, None, None]
    table = measure(labels, 0.5, rgb, stain=GLASS)
    density = np.log10(256 / (np.array([25, 15, 63]) + 1))
    np.testing.assert_allclose(table["haematoxylin_mean"], [density[0], density[1:].mean()], rtol=1e-5)
    np.testing.assert_allclose(table["haematoxylin_texture"], [0, np.ptp(density[1:]) / 2], atol=1e-3)
    assert measure(labels, 0.5)["haematoxylin_mean"].isna().all()


def test_a_dark_nucleus_holds_more_by_the_picture_s_own_stain():
    labels = np.kron(np.arange(101).reshape(1, -1) % 3, np.ones((20, 20), int))
    rgb = np.array([[225, 160, 205], [60, 50, 140], [120, 90, 170]], np.uint8)[labels]
    dark, pale = measure(labels, 0.5, rgb)["haematoxylin_mean"]
    assert dark > pale + 0.1


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (np.zeros((3, 3, 3), int), "label image"),
        (np.zeros((3, 3)), "of integers"),
        (np.zeros((3, 3), bool), "labelled first"),
        (np.full((3, 3), -1), "negative number -1"),
    ],
)
def test_no_label_image(labels, said):
    with pytest.raises(UsageError, match=said):
        measure(labels, 0.5)


@pytest.mark.parametrize("mpp", [None, 0, -0.5, float("nan"), 500.0, (0.5, 0.0), (0.5, None), (1, 1, 1)])
def test_without_a_possible_scale_nothing_is_measured(mpp):
    with pytest.raises(MppError, match="µm/px"):
        measure(np.ones((3, 3), int), mpp)


@pytest.mark.parametrize(
    ("rgb", "said"),
    [
        (
            np.zeros((40, 30, 3), np.uint8),
            r"label image \(40 x 30 px\) does not match the picture \(30 x 40 px\)",
        ),
        (np.zeros((30, 40, 4), np.uint8), "uint8"),
        (np.zeros((30, 40, 3)), "uint8"),
        (np.zeros((30, 40), np.uint8), "uint8"),
    ],
)
def test_a_picture_that_does_not_match(rgb, said):
    with pytest.raises(UsageError, match=said):
        measure(np.zeros((30, 40), int), 0.5, rgb)
