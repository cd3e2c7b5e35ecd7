"""Nuclei against attention: which patches are compared, effect sizes by counting, what the report says."""

import html
import json
import re

import numpy as np
import pandas as pd
import pytest
from scipy.stats import false_discovery_control, mannwhitneyu
from shapely.geometry import box
from tests_shared import MPP, drain

from napari_aln import open_slide
from napari_aln.errors import StoreError, UsageError
from napari_aln.geometry import Mpp
from napari_aln.mil.bundle import open_bundle
from napari_aln.nuclei import measure, placed
from napari_aln.records import Clinical, PatchGrid, PatchTable, Region
from napari_aln.settings.nuclei import NucleiSettings
from napari_aln.store.nuclei import FILES, read_statement
from napari_aln.store.scored_patches import runs_of, scored_patches
from napari_aln.workflows.nuclei.by_attention import Ends, contrast, contrast_of_result, write_contrast
from napari_aln.workflows.nuclei.folder import NucleiRequest, nuclei_to_folder
from napari_aln.workflows.predict import Request, predict_to_folder

SIDE, N = 64, 10  # of a patch in px; patches in a row
UM = Mpp(0.5, 0.5)
PATIENT = Clinical(age_years=61, tumor_size_cm=2.4, er=True, pr=False, her2=False)


@pytest.fixture(scope="module")
def nuclei():
    """A row of ten patches with four nuclei each; patch k has discs of radius 4 + k / 2."""
    labels, yy, xx = np.zeros((SIDE, SIDE * N), np.int32), *np.mgrid[:SIDE, : SIDE * N]
    for k in range(N):
        for j in range(4):
            x, y = k * SIDE + 16.3 + 32 * (j % 2), 16.3 + 32 * (j // 2)
            labels[np.hypot(xx - x, yy - y) < 4 + k / 2 + j / 10] = 4 * k + j + 1
    return placed(measure(labels, UM))


@pytest.fixture
def patches():
    grid = PatchGrid(SIDE, 0.5, (SIDE, SIDE), N, 1)
    return PatchTable(grid, np.arange(N, dtype=np.int32), np.zeros(N, np.int32))


def row(found, feature):
    return found.rows.set_index("feature").loc[feature]


def test_density_is_of_the_part_that_was_measured(nuclei, patches):
    share = np.ones(N)
    share[-1], share[0] = 0.8, 0.4  # the first lies mostly outside
    found = contrast(nuclei, UM, patches, np.arange(N), ends=Ends(k=1), share=share)
    high, low = found.values["density_per_mm2"]
    assert (found.n_patches, found.nuclei) == (N - 1, (4, 4))
    assert high.tolist() == pytest.approx([4 / (0.8 * 0.032**2)])
    assert low.tolist() == pytest.approx([4 / 0.032**2])


def test_disorder_is_compared_between_patches():
    """Aligned nuclei where attention is low, any way where it is high; twelve a patch."""
    rng = np.random.default_rng(5)
    x, y = (np.arange(12) % 4) * 16 + 8, (np.arange(12) // 4) * 20 + 10
    yy, xx = np.mgrid[:SIDE, : SIDE * N]
    labels = np.zeros(yy.shape, np.int32)
    for k in range(N):
        for j in range(12):
            turn = rng.uniform(0, np.pi) if k >= 5 else 0.3
            across, down = xx - (k * SIDE + x[j]), yy - y[j]
            along = across * np.cos(turn) + down * np.sin(turn)
            labels[(along / 7) ** 2 + (across**2 + down**2 - along**2) / 9 < 1] = 12 * k + j + 1
    grid = PatchGrid(SIDE, 0.5, (SIDE, SIDE), N, 1)
    table = PatchTable(grid, np.arange(N, dtype=np.int32), np.zeros(N, np.int32))
    found = contrast(placed(measure(labels, UM)), UM, table, np.arange(N), ends=Ends(k=5))
    high, low = found.values["orientation_disorder"]
    assert low.max() < 0.2 < 0.6 < high.min()
    assert row(found, "orientation_disorder")["effect_patches"] == 1
    assert np.isnan(row(found, "orientation_disorder")["p"])  # a nucleus has none
    assert row(found, "orientation_coherence")["effect_patches"] == -1


def test_both_ends_are_compared_by_counting_pairs(nuclei, patches):
    found = contrast(nuclei, UM, patches, np.arange(N), ends=Ends(k=3))
    area = nuclei["area_um2"].to_numpy().reshape(N, 4)
    high, low = area[-3:].ravel(), area[:3].ravel()
    pairs = np.sign(high[:, None] - low[None, :])
    got = row(found, "area_um2")
    assert got["effect"] == pytest.approx(pairs.mean())
    assert got["p"] == pytest.approx(mannwhitneyu(high, low).pvalue)
    assert got["median_high"] == np.median(high)
    assert (got["n_high"], got["n_low"], found.k, found.nuclei) == (12, 12, 3, (12, 12))
    assert (got["effect_patches"], got["n_patches_high"]) == (1.0, 3)
    assert got["p_patches"] == pytest.approx(2 / 20)  # two of the ways to choose three of six
    known = found.rows["p"].dropna()
    assert found.rows.loc[known.index, "p_adjusted"].tolist() == pytest.approx(false_discovery_control(known))


def test_attention_that_falls_turns_the_sign(nuclei, patches):
    up, down = (contrast(nuclei, UM, patches, values) for values in (np.arange(N), -np.arange(N)))
    assert up.k == 1
    assert row(up, "area_um2")["effect"] == -row(down, "area_um2")["effect"] == 1.0
    assert row(up, "density_per_mm2")["effect_patches"] == 0.0  # four in each
    assert np.isnan(row(up, "density_per_mm2")["p"])


def test_equal_attention_never_puts_a_patch_on_both_sides(nuclei, patches):
    found = contrast(nuclei, UM, patches, np.ones(N), ends=Ends(share=0.5))
    areas = [set(values) for values in found.values["area_um2"]]
    assert sum(map(len, areas)) == len(set.union(*areas)) > 30
    assert found.k == 5


def test_patches_without_attention_take_no_part(nuclei, patches):
    values = np.where(np.arange(N) < 4, np.arange(N), np.nan)
    found = contrast(nuclei, UM, patches, values, ends=Ends(k=9))
    assert (found.n_patches, found.k) == (4, 2)


@pytest.mark.parametrize(
    ("ends", "word"), [(Ends(0.0), "share"), (Ends(0.6), "share"), (Ends(k=0), "patches")]
)
def test_ends_of_nothing_are_refused(nuclei, patches, ends, word):
    with pytest.raises(UsageError, match=word):
        contrast(nuclei, UM, patches, np.arange(N), ends=ends)


def test_nothing_to_compare_is_refused(nuclei, patches):
    with pytest.raises(UsageError, match="measured: 1\\. Two"):
        contrast(nuclei, UM, patches, np.where(np.arange(N) == 3, 1.0, np.nan))
    with pytest.raises(UsageError, match="no nuclei"):
        contrast(nuclei.iloc[:0], UM, patches, np.arange(N))


def words_of(place):
    text = (place / "report.html").read_text(encoding="utf-8")
    return html.unescape(re.sub(r"<[^>]+>", " ", re.sub(r"base64,[A-Za-z0-9+/=]+", "", text)))


def predicted(slide, bundle, out, **options):
    return drain(predict_to_folder(slide, Request([open_bundle(bundle)], clinical=PATIENT), out, **options))


@pytest.fixture(scope="module")
def result(tissue_slide, ws_bundle, tmp_path_factory):
    """A result with the nuclei of one corner of its tissue; folder and report without them."""
    with open_slide(tissue_slide) as slide:
        _, place = predicted(slide, ws_bundle, tmp_path_factory.mktemp("out"))
        before = words_of(place)
        request = NucleiRequest(NucleiSettings(method="classical"), [Region(box(500, 400, 1300, 1000))])
        drain(nuclei_to_folder(slide, request, place))
    return place, before


def test_only_measured_patches_of_a_result_are_compared(result):
    place, _ = result
    found = contrast_of_result(place)
    xy = scored_patches(place).patches.l0_xy + 128
    within = ((xy >= (500, 400)) & (xy <= (1300, 1000))).all(axis=1)
    assert runs_of(place) == ["dlcnbc-ws"]
    assert 4 <= found.n_patches <= within.sum()
    assert found.n_patches < len(xy)
    with pytest.raises(UsageError, match="dlcnb"):
        contrast_of_result(place, "dlcnb")


def test_the_report_tells_of_nuclei_once_they_are_there(result):
    place, before = result
    text = words_of(place)
    about = read_statement(place)
    assert "Nuclei " not in before
    assert str(about.n_nuclei) in text
    assert "Nuclei where DLCNBC-WS looked most and least" in text
    assert "not independent" in text
    assert "where the model looked, not tumour probability" in text
    assert text.count("Research use only") > before.count("Research use only")
    assert "nan" not in text.split("Nuclei")[1].lower().split("models")[0]
    assert "case 1" not in (place / "report.html").read_text(encoding="utf-8")


def test_a_new_result_of_the_slide_keeps_the_nuclei(result, tissue_slide, ws_bundle, tmp_path):
    place, _ = result
    parquet = (place / "nuclei.parquet").read_bytes()
    with open_slide(tissue_slide) as slide:
        _, again = predicted(slide, ws_bundle, place.parent)
    assert again == place
    assert (place / "nuclei.parquet").read_bytes() == parquet
    assert "Nuclei where" in words_of(place)


def test_a_folder_for_the_table_of_nuclei_names_the_table_in_it(result):
    with pytest.raises(StoreError, match="is a folder") as caught:
        contrast_of_result(result[0], nuclei=result[0])
    assert str(result[0] / "nuclei.parquet") in caught.value.next_step


def test_a_contrast_is_written_with_its_figure(result, tmp_path):
    write_contrast(contrast_of_result(result[0], ends=Ends(k=2)), tmp_path, "alias")
    rows = pd.read_csv(tmp_path / "contrast.csv", encoding="utf-8-sig")
    assert {"feature", "effect", "p_adjusted", "p_patches_adjusted"} <= set(rows)
    about = json.loads((tmp_path / "contrast.json").read_text(encoding="utf-8"))
    assert about["patches_at_each_end"] == 2
    assert "not independent" in about["independence"]
    made_by = about["made_by"]
    stored = json.loads((result[0] / "result.json").read_text(encoding="utf-8"))
    (run,) = stored["runs"]
    assert made_by["run"]["slide_quick_hash"] == stored["slide"]["quick_hash"]
    assert made_by["run"]["runs"]["dlcnbc-ws"]["model_sha256"] == run["model_sha256"]
    assert made_by["run"]["runs"]["dlcnbc-ws"]["settings"] == run["settings"]
    nuclei = json.loads((result[0] / "nuclei.json").read_text(encoding="utf-8"))
    assert made_by["nuclei"]["settings"] == nuclei["settings"]
    assert made_by["nuclei"]["method"] == nuclei["method"]
    assert made_by["versions"] == stored["versions"]
    svg = (tmp_path / "contrast.svg").read_text(encoding="utf-8")
    assert svg.startswith("<?xml")
    assert (tmp_path / "contrast.png").stat().st_size > 10_000


def test_nuclei_of_another_slide_are_refused(result, tmp_path):
    from napari_aln.nuclei import read_nuclei, write_nuclei

    own = read_nuclei(result[0] / "nuclei.parquet")
    write_nuclei(own.table, tmp_path / "other.parquet", mpp=own.mpp, slide_hash="another")
    with pytest.raises(UsageError, match="different slides"):
        contrast_of_result(result[0], nuclei=tmp_path / "other.parquet")
    with pytest.raises(StoreError):
        contrast_of_result(tmp_path)


def test_without_nuclei_the_command_that_measures_them_is_named(result, tmp_path):
    with pytest.raises(StoreError, match=r"no table of nuclei .*none\.parquet") as caught:
        contrast_of_result(result[0], nuclei=tmp_path / "none.parquet")
    assert f"nuclei measure SLIDE --result {result[0]}" in caught.value.next_step


def test_the_folder_adds_up_and_names_nothing_in_private_mode(tissue_slide, tmp_path):
    regions = [Region(box(600, 500, 1112, 1012), name="Mrs Smith"), Region(box(1300, 500, 1500, 700))]
    request = NucleiRequest(NucleiSettings(method="classical"), regions, private=True)
    with open_slide(tissue_slide) as slide:
        measured = drain(nuclei_to_folder(slide, request, tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == set(FILES)
    for path in tmp_path.iterdir():
        assert b"case 1" not in path.read_bytes()
        assert b"Smith" not in path.read_bytes()
    about = read_statement(tmp_path)
    assert (about.slide.file, about.what, about.n_nuclei) == (None, "regions", len(measured.table))
    assert about.area_mm2 == pytest.approx((512**2 + 200**2) * MPP**2 / 1e6)
    by_region = pd.read_csv(tmp_path / "nuclei-regions.csv", encoding="utf-8-sig").set_index("name")
    assert by_region.index.tolist() == ["all", "region 1", "region 2"]
    assert by_region["n_nuclei"].tolist()[0] == sum(by_region["n_nuclei"].tolist()[1:]) == about.n_nuclei
    assert by_region["density_per_mm2"].iloc[0] == pytest.approx(about.density_per_mm2)
    by_patch = pd.read_csv(tmp_path / "nuclei-patches.csv", encoding="utf-8-sig")
    assert (by_patch["share"] >= 0.7).all()
    assert by_patch["area_mm2"].to_numpy() == pytest.approx(by_patch["share"] * 0.128**2)
    document = json.loads((tmp_path / "nuclei.geojson").read_text(encoding="utf-8"))
    assert len(document["features"]) == about.n_nuclei
    assert document["napari_aln"]["origin"] == "level0"


def test_nuclei_of_a_private_result_name_nothing_unasked(tissue_slide, ws_bundle, tmp_path):
    with open_slide(tissue_slide) as slide:
        request = Request([open_bundle(ws_bundle)], clinical=PATIENT)
        _, place = drain(predict_to_folder(slide, request, tmp_path, private=True))
        regions = [Region(box(600, 500, 900, 800), name="Mrs Smith")]
        drain(nuclei_to_folder(slide, NucleiRequest(NucleiSettings(method="classical"), regions), place))
        measured = read_statement(place)
        text = (place / "result.json").read_text(encoding="utf-8")
        other = text.replace(slide.info.quick_hash, "0" * 64)
        (place / "result.json").write_text(other, encoding="utf-8")
        with pytest.raises(UsageError, match="another slide"):
            drain(nuclei_to_folder(slide, NucleiRequest(), place))
    assert (measured.slide.file, measured.alias) == (None, place.name)
    for path in place.iterdir():
        assert b"case 1" not in path.read_bytes()
        assert b"Smith" not in path.read_bytes()
