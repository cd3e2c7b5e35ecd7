"""What the tests of the work list share."""

import pytest
from worklist_samples import SLIDES

from napari_aln.records import Clinical
from napari_aln.store.worklist import WorkList
from napari_aln.store.worklist_records import NewSlide, Patient


@pytest.fixture
def blinded(tmp_path):
    with WorkList.create(tmp_path / "study.alnlist", blinded=True) as work_list:
        slides = [NewSlide(tmp_path / f"{name}.svs", patient) for name, patient in SLIDES]
        work_list.add(slides, [Patient("007", Clinical(age_years=61.0), "N(+)")])
        yield work_list
