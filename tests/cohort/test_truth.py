"""Patch targets against numbers counted by hand."""

import numpy as np
import pandas as pd
import pytest

from napari_aln.cohort.table import CohortRow
from napari_aln.cohort.truth import TARGETS, nuclei_path, patch_targets, read_nuclei
from napari_aln.errors import CohortError


def nuclei_of(xy, kind="tumour", angle=0.0):
    n = len(xy)
    return pd.DataFrame(
        {
            "x": np.array(xy, float)[:, 0],
            "y": np.array(xy, float)[:, 1],
            "kind": np.broadcast_to(kind, n),
            "area_um2": np.linspace(40.0, 60.0, n),
            "circularity": np.full(n, 0.9),
            "major_axis_um": np.full(n, 9.0),
            "minor_axis_um": np.full(n, 6.0),
            "angle_rad": np.broadcast_to(angle, n),
        }
    )


def test_counts_and_means_of_a_row_of_nuclei():
    # Eight nuclei 20 px = 10 µm apart in the upper half of a 200 px patch at (1000, 2000): four a quarter.
    nuclei = nuclei_of([(1030 + 20 * i, 2050) for i in range(8)])
    (targets,) = patch_targets(nuclei, np.array([[1000.0, 2000.0]]), 200.0, 0.5)
    whole = dict(zip(TARGETS, targets[4], strict=True))
    assert whole["tumour density"] == pytest.approx(np.log1p(8 / 0.01 / 100))
    assert whole["lymphocyte density"] == 0
    assert whole["tumour nucleus area"] == pytest.approx(50.0)
    assert whole["tumour nucleus aspect"] == pytest.approx(1.5)
    assert whole["tumour nucleus spacing"] == pytest.approx(10.0)
    assert whole["tumour nucleus alignment"] == pytest.approx(1.0)
    quarter_density = [np.log1p(n / 0.0025 / 100) for n in (4, 4, 0, 0)]
    assert targets[:4, 0] == pytest.approx(quarter_density, rel=1e-6)
    assert np.isnan(targets[:4, 4:]).all()  # four nuclei are too few for a mean


def test_alternating_directions_have_no_alignment():
    nuclei = nuclei_of([(10 + 20 * i, 50) for i in range(8)], angle=[0.0, np.pi / 2] * 4)
    (targets,) = patch_targets(nuclei, np.array([[0.0, 0.0]]), 200.0, 0.5)
    assert targets[4, 8] == 0.0


def test_only_tumour_nuclei_are_measured_and_neighbouring_patches_share_none():
    nuclei = pd.concat([nuclei_of([(10 + 10 * i, 10) for i in range(9)]), nuclei_of([(150, 150)], "luminal")])
    left, right = patch_targets(nuclei, np.array([[0.0, 0.0], [200.0, 0.0]]), 200.0, 0.5)
    assert left[3, 3] == pytest.approx(np.log1p(1 / 0.0025 / 100))
    assert left[4, 4] == pytest.approx(50.0)
    assert (right[:, :4] == 0).all()
    assert np.isnan(right[:, 4:]).all()


def test_a_damaged_table_of_nuclei_is_named(tmp_path):
    path = tmp_path / "7-nuclei.parquet"
    path.write_bytes(b"PAR1 and nothing else")
    row = CohortRow(patient_id="7", roi=tmp_path / "7.geojson")
    assert nuclei_path(row) == path
    with pytest.raises(CohortError, match=r"7-nuclei\.parquet is no table"):
        read_nuclei(path)
    nuclei_of([(1, 1)]).drop(columns="circularity").to_parquet(path)
    with pytest.raises(CohortError, match=r"7-nuclei\.parquet is no table"):
        read_nuclei(path)


def test_a_row_without_truth_has_no_nuclei(tmp_path):
    assert nuclei_path(CohortRow(patient_id="7")) is None
    assert nuclei_path(CohortRow(patient_id="7", roi=tmp_path / "7.geojson")) is None
