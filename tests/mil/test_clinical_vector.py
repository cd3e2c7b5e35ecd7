import numpy as np
import pytest

from napari_aln.errors import ClinicalError
from napari_aln.mil.card import ClinicalFields, NumericField
from napari_aln.mil.clinical import encode
from napari_aln.records import Clinical

FIELDS = ClinicalFields(
    age_years=NumericField(mean=57.0, std=12.0),
    tumor_size_cm=NumericField(mean=2.5, std=0.5),
    er_negative_share=0.2,
    pr_negative_share=0.7,
    her2_negative_share=0.75,
)


def test_vector_has_the_documented_order_signs_and_standardisation():
    vector, filled = encode(Clinical(63.0, 2.0, er=True, pr=False, her2=False), FIELDS)
    np.testing.assert_allclose(vector, [0.5, -1.0, 0.0, 1.0, 1.0])
    assert vector.dtype == np.float64
    assert filled == ()


def test_missing_values_are_named_and_not_guessed():
    with pytest.raises(ClinicalError, match=r"missing: tumour size, HER2\."):
        encode(Clinical(63.0, None, er=True, pr=True, her2=None), FIELDS)


def test_filling_takes_the_mean_and_the_more_frequent_category_and_says_so():
    vector, filled = encode(Clinical(age_years=45.0), FIELDS, fill=True)
    np.testing.assert_allclose(vector, [-1.0, 0.0, 0.0, 1.0, 1.0])
    assert filled == ("tumor_size_cm", "er", "pr", "her2")


def test_a_patient_of_whom_nothing_is_known():
    vector, filled = encode(None, FIELDS, fill=True)
    np.testing.assert_allclose(vector, [0.0, 0.0, 0.0, 1.0, 1.0])
    assert len(filled) == 5
    with pytest.raises(ClinicalError, match="age, tumour size, ER, PR, HER2"):
        encode(None, FIELDS)


def test_a_card_without_shares_cannot_fill_a_receptor():
    fields = FIELDS.model_copy(update={"er_negative_share": None})
    with pytest.raises(ClinicalError, match="more frequent"):
        encode(Clinical(63.0, 2.0, er=None, pr=True, her2=True), fields, fill=True)


@pytest.mark.parametrize("age", [0.0, -3.0, 120.5, float("nan"), float("inf")])
def test_impossible_age_is_refused_even_when_filling(age):
    with pytest.raises(ClinicalError, match=r"age is .* outside 0-120 years"):
        encode(Clinical(age, 2.0, True, True, True), FIELDS, fill=True)


@pytest.mark.parametrize("size", [0.0, 30.1, float("nan")])
def test_impossible_tumour_size_is_refused(size):
    with pytest.raises(ClinicalError, match=r"tumour size is .* outside 0-30 cm"):
        encode(Clinical(50.0, size, True, True, True), FIELDS)


def test_limits_themselves_are_allowed():
    encode(Clinical(120.0, 30.0, True, True, True), FIELDS)
