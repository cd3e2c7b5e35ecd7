"""Which traits of the nuclei carry the label: those planted, and no others."""

import numpy as np
import pytest
from pydantic import ValidationError

from napari_aln.cohort.patients import draw_patient, patient_rng
from napari_aln.settings.cohorts import TRAITS, SynthesizeSettings

LAW = {"size": "area_um2", "shape": "aspect", "density": "density_per_mm2", "alignment": "alignment"}


def laws(positive, planted):
    patients = [draw_patient(patient_rng(3, index), index, positive, planted) for index in range(30)]
    return {trait: np.array([getattr(one.law, name) for one in patients]) for trait, name in LAW.items()}


@pytest.mark.parametrize("planted", [TRAITS, ("size", "density"), ("shape",), ()])
def test_only_planted_traits_differ_between_the_labels(planted):
    negative, positive = laws(False, planted), laws(True, planted)
    for trait in TRAITS:
        if trait in planted:
            lower, higher = (positive, negative) if trait == "size" else (negative, positive)
            assert np.median(lower[trait]) < np.median(higher[trait])
            assert (lower[trait] < higher[trait]).mean() > 0.9  # the rest lie at a bound
        else:
            assert (negative[trait] == positive[trait]).all()


def test_an_unknown_trait_is_refused():
    with pytest.raises(ValidationError, match="'colour' is no trait of nuclei"):
        SynthesizeSettings(traits=["size", "colour"])
