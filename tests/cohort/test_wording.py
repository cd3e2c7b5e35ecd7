"""How many there are, as sentences say it."""

import pytest

from napari_aln.cohort.wording import counted


@pytest.mark.parametrize(
    ("number", "words", "said"),
    [
        (1, ("slide",), "1 slide"),
        (0, ("slide",), "0 slides"),
        (2, ("slide",), "2 slides"),
        (1, ("nucleus", "nuclei"), "1 nucleus"),
        (7, ("nucleus", "nuclei"), "7 nuclei"),
    ],
)
def test_one_is_counted_as_one_and_all_others_as_several(number, words, said):
    assert counted(number, *words) == said
