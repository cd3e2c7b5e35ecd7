"""What kind a dropped file is taken for, by its name."""

import pytest

from napari_aln.widgets.dropped import sort_files


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.svs", "slides"),
        ("351899.jpg", "slides"),
        ("a.unknown", "slides"),  # tried as one: its reader says what is wrong
        ("a.ALNMODEL", "bundles"),
        ("a.geojson", "regions"),
        ("a.ndpa", "regions"),
        ("study.alnlist", "lists"),
        ("a.alnsession", "sessions"),
        ("values.csv", "tables"),
        ("values.XLSX", "tables"),
        ("values.xlsm", "tables"),
        ("cohort.parquet", "tables"),
    ],
)
def test_files_are_told_apart_by_name(tmp_path, name, kind):
    path = tmp_path / name
    found = vars(sort_files([path]))
    assert found.pop(kind) == [path]
    assert not any(found.values())


def test_folders_are_slides_or_unpacked_bundles_whatever_their_names(tmp_path):
    slide, bundle = tmp_path / "slices.csv", tmp_path / "model"
    slide.mkdir()
    bundle.mkdir()
    (bundle / "card.json").touch()
    found = sort_files([slide, bundle])
    assert (found.slides, found.bundles) == ([slide], [bundle])


def test_slides_of_known_types_come_before_what_may_be_none(tmp_path):
    notes, first, second = (tmp_path / name for name in ("notes.txt", "b.svs", "a.TIF"))
    found = sort_files([notes, first, second, tmp_path / "a.csv", tmp_path / "m.alnmodel"])
    assert found.slides == [first, second, notes]
    assert found.left_out(hide_names=False) == "2 files left out: a.TIF, notes.txt."
    assert found.left_out(hide_names=True) == "2 files left out."
    assert sort_files([first, tmp_path / "a.csv", tmp_path / "a.xml"]).left_out(hide_names=False) == ""


def test_a_result_is_told_from_a_slide_as_a_folder_and_by_its_file(tmp_path):
    (tmp_path / "result.json").touch()
    assert sort_files([tmp_path]).results == [tmp_path]
    found = sort_files([tmp_path / "result.json"])
    assert (found.results, found.regions) == ([tmp_path], [])
