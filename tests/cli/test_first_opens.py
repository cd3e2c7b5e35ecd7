"""Every command that opens slides has them opened first elsewhere: a decoder that crashes is an answer."""

from unittest.mock import Mock

import pytest
from tests_shared import decoders_that, drain

from napari_aln.cohort.table import read_cohort
from napari_aln.errors import SlideError
from napari_aln.workflows.training.patients import stored_features
from napari_aln.workflows.training.pixels import stored_pixels


@pytest.fixture
def cohort(tissue_slide, tmp_path):
    """Return a table of one slide for six patients: `interpret` wants two in each split."""
    path = tmp_path / "cohort.csv"
    lines = [
        f"P{number},{tissue_slide},{label},{split}"
        for number, (label, split) in enumerate(
            (label, split) for split in ("train", "val", "test") for label in ("N0", "N(+)")
        )
    ]
    path.write_text("\n".join(["patient_id,slide,label,split", *lines]))
    return path


def test_a_crash_at_the_first_opening_ends_no_command_otherwise_than_in_words(
    call, cohort, tissue_slide, roi_file, ws_bundle, tmp_path, monkeypatch
):
    commands = [
        ("nuclei", "measure", tissue_slide, "--out", tmp_path / "nuclei"),
        ("nuclei", "examples", tmp_path / "examples", "--pictures", 0, "--slide", tissue_slide),
        ("annotations", "convert", roi_file, tmp_path / "roi.xml", "--slide", tissue_slide),
        ("evaluate-maps", cohort, "--model", ws_bundle, "--out", tmp_path / "maps"),
        ("interpret", cohort, "--out", tmp_path / "interpreted"),
        ("cohort", "check", cohort),
    ]
    for command in commands:
        with decoders_that(monkeypatch, "os.abort()"):
            code, said, errors = call(*command)
        assert code, command
        assert "crashed" in said + errors, (command, said, errors)
        assert "Traceback" not in errors


@pytest.mark.parametrize("opens", [stored_features, stored_pixels])
def test_a_crash_ends_no_training(opens, cohort, monkeypatch):
    row = read_cohort(cohort)[0]
    several = [Mock()] * (2 if opens is stored_features else 4)  # looked at once the slide is open
    with decoders_that(monkeypatch, "os.abort()"), pytest.raises(SlideError, match="crashed"):
        drain(opens(row, *several))
