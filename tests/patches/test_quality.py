"""The input check: what passes, and what each defect is called."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from napari_aln.patches.quality import (
    StainStats,
    check_input,
    cohort_stain,
    he_share,
    sharpness,
    stain_distance,
    stain_stats,
)
from napari_aln.patches.tissue import tissue_mask

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
real = pytest.mark.skipif(not DATA.is_dir(), reason="the real slides (../shared/data) are not here")

GLASS = np.array([240.0, 240.0, 240.0])
UM_PER_PX = 8.0


def overview(stroma=(0.05, 0.14, 0.08), tumour=(0.30, 0.45, 0.22), glass=GLASS):
    od = np.zeros((160, 160, 3))
    od[20:140, 40:100] = stroma
    od[60:100, 50:90] = tumour
    grain = np.random.default_rng(0).normal(0, 1, od.shape)
    return (glass * 10**-od + grain).round().clip(0, 255).astype(np.uint8)


def codes(rgb, **more):
    return [warning.code for warning in check_input(rgb, tissue_mask(rgb, UM_PER_PX), **more)]


def nuclei_patches(sigma=0.0):
    """Dark discs of 8 px on pink, as nuclei at 0.5 µm/px."""
    rng = np.random.default_rng(1)
    patches = []
    for _ in range(3):
        seeds = np.zeros((256, 256))
        seeds[rng.integers(0, 256, 150), rng.integers(0, 256, 150)] = 1
        discs = ndimage.binary_dilation(seeds, iterations=4)[..., None]
        picture = np.where(discs, (110.0, 70.0, 140.0), (225.0, 170.0, 200.0))
        picture = ndimage.gaussian_filter(picture, (max(sigma, 0.7), max(sigma, 0.7), 0))
        patches.append(picture.round().astype(np.uint8))
    return np.stack(patches)


def test_h_and_e_passes():
    assert codes(overview(), patches_rgb=nuclei_patches()) == []


def grey(rgb):
    return np.repeat(np.asarray(Image.fromarray(rgb).convert("L"))[..., None], 3, axis=2)


def brown(rgb):
    """Turn the stain into DAB on the dense parts and a pale blue elsewhere."""
    density = np.log10(241 / (rgb[..., 1] + 1.0)).clip(0)[..., None]
    od = (density - 0.2).clip(0) * 1.5 * [0.27, 0.57, 0.78] + density.clip(max=0.2) * 0.6 * [0.65, 0.70, 0.29]
    return (GLASS * 10**-od).round().clip(0, 255).astype(np.uint8)


DEFECTS = {
    "greyscale": grey,
    "green light": lambda rgb: (rgb * [0.6, 1.0, 0.6]).astype(np.uint8),
    "brown": brown,
    "inverted": lambda rgb: 255 - rgb,
}


@pytest.mark.parametrize("defect", DEFECTS.values(), ids=DEFECTS)
def test_other_stains_and_tints_are_not_h_and_e(defect):
    assert "not_he" in codes(defect(overview()))


def test_reddish_brown_is_told_by_its_absorption_of_blue():
    tone = (0.27, 0.57, 0.62)  # of the hue of blood, 6 degrees, but blue is absorbed most, as by DAB
    rgb = overview(stroma=tone, tumour=tone)
    assert he_share(rgb, tissue_mask(rgb, UM_PER_PX)) < 0.1
    eosin = overview(stroma=(0.05, 0.57, 0.45), tumour=(0.05, 0.57, 0.45))
    assert he_share(eosin, tissue_mask(eosin, UM_PER_PX)) > 0.9


def test_an_empty_slide_has_little_tissue_but_is_not_called_another_stain():
    empty = overview(stroma=(0, 0, 0), tumour=(0, 0, 0))
    assert codes(empty) == ["little_tissue"]
    mask = tissue_mask(empty, UM_PER_PX)
    assert he_share(empty, mask) is None
    assert stain_stats(empty, mask) is None


def test_little_tissue_names_its_area():
    rgb = overview()
    rgb[100:] = 240
    rgb[:, 60:] = 240
    (warning,) = check_input(rgb, tissue_mask(rgb, UM_PER_PX))
    assert warning.code == "little_tissue"
    assert warning.value == pytest.approx(80 * 20 * 64e-6, rel=0.2)
    assert f"{warning.value:.2f} mm²" in warning.message


def test_blurred_patches_are_named():
    assert codes(overview(), patches_rgb=nuclei_patches(sigma=4)) == ["blurred"]


def test_sharpness_by_hand():
    # A checkerboard of 0 and 255: the Laplacian is +-1020 inside, so its variance is 16 times the contrast's
    # (mirrored edges change the rim only); twice the contrast changes nothing.
    board = (np.indices((64, 64)).sum(axis=0) % 2)[..., None].repeat(3, axis=2)
    strong, weak = (board * 254).astype(np.uint8), (board * 127).astype(np.uint8)
    assert sharpness(np.stack([strong])) == pytest.approx(sharpness(np.stack([weak])))
    assert sharpness(np.stack([strong])[:, 1:-1, 1:-1]) == pytest.approx(16 * 4, rel=0.1)
    assert np.isnan(sharpness(np.full((2, 8, 8, 3), 9, dtype=np.uint8)))


def test_no_patches_leave_sharpness_unchecked():
    assert codes(overview(), patches_rgb=np.empty((0, 256, 256, 3), dtype=np.uint8)) == []


def test_stain_stats_are_the_density_painted():
    rgb = overview(stroma=(0.2, 0.4, 0.1), tumour=(0.2, 0.4, 0.1))
    stats = stain_stats(rgb, tissue_mask(rgb, UM_PER_PX))
    np.testing.assert_allclose(stats.od_mean, (0.2, 0.4, 0.1), atol=0.03)
    assert max(stats.od_sd) < 0.1


def test_stain_distance_by_hand():
    cohort = StainStats((0.2, 0.4, 0.2), (0.05, 0.1, 0.001))
    slide = StainStats((0.25, 0.4, 0.26), (0.1, 0.1, 0.1))
    # 1, 0 and, with the smallest standard deviation of 0.02, 3 of them.
    assert stain_distance(slide, cohort) == pytest.approx(np.sqrt((1 + 0 + 9) / 3))
    assert stain_distance(cohort, cohort) == 0


def test_cohort_stain_is_mean_and_spread_of_the_slides():
    slides = [StainStats((0.1, 0.2, 0.3), (0.9,) * 3), StainStats((0.3, 0.2, 0.1), (0.9,) * 3)]
    cohort = cohort_stain(slides)
    assert cohort.od_mean == pytest.approx((0.2, 0.2, 0.2))
    assert cohort.od_sd == pytest.approx((0.1, 0.0, 0.1))


def test_a_foreign_stain_is_named_and_a_like_one_is_not():
    slides = [overview(tumour=(0.3 + d, 0.45 + d, 0.22 + d)) for d in (-0.05, 0.0, 0.05)]
    cohort = cohort_stain([stain_stats(rgb, tissue_mask(rgb, UM_PER_PX)) for rgb in slides])
    assert codes(slides[0], cohort=cohort) == []
    assert codes(overview((0.3, 0.5, 0.3), (0.6, 0.9, 0.5)), cohort=cohort) == ["stain_far"]


@real
@pytest.mark.parametrize("name", ["351899", "389510"])
def test_bcnb_overviews_pass_and_their_copies_do_not(name):
    rgb = np.asarray(Image.open(DATA / "bcnb" / "slides" / f"{name}.jpg").reduce(2))
    assert codes(rgb) == []
    for defect in (grey, DEFECTS["green light"], DEFECTS["inverted"]):
        assert "not_he" in codes(defect(rgb))


@real
@pytest.mark.parametrize("name", ["351899_0", "351899_1", "351899_2", "389510_0", "389510_1", "389510_2"])
def test_bcnb_regions_are_sharp_until_blurred(name):
    rgb = np.asarray(Image.open(DATA / "bcnb" / "slides" / f"{name}.jpg"))
    height, width = (side // 256 * 256 for side in rgb.shape[:2])
    cells = rgb[:height, :width].reshape(height // 256, 256, width // 256, 256, 3).swapaxes(1, 2)
    patches = cells.reshape(-1, 256, 256, 3)
    patches = patches[(patches == 255).mean(axis=(1, 2, 3)) < 0.02][:8]
    assert len(patches)
    blurred = ndimage.gaussian_filter(patches, (0, 4, 4, 0))
    assert sharpness(patches) > 0.04
    assert sharpness(blurred) < 0.01
