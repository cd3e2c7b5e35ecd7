"""Documents that Hypothesis makes up: annotations of any shape, tables of any text."""

import csv
import json
import uuid

import pytest
from broken_annotations import SOUND_GEOJSON
from hostile_pool import ENDS_WELL
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from napari_aln.cohort.writing import as_meant, harmless, write_table

_quick = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

_numbers = st.one_of(st.integers(), st.floats(), st.integers(0, 4000), st.just(10**400))
_leaves = st.one_of(st.none(), st.booleans(), _numbers, st.text(max_size=5))
_anything = st.recursive(
    _leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


def _mostly(strategy):
    """Return what a document should hold, and now and then anything."""
    return st.integers(0, 24).flatmap(lambda die: _anything if die == 0 else strategy)


_pair = _mostly(st.lists(_mostly(st.integers(-10, 4000)), min_size=2, max_size=3))
_ring = _mostly(st.lists(_pair, min_size=3, max_size=7))
_polygon = _mostly(st.lists(_ring, min_size=1, max_size=3))
_plain = st.one_of(
    st.fixed_dictionaries({"type": st.just("Polygon"), "coordinates": _polygon}),
    st.fixed_dictionaries(
        {"type": st.just("MultiPolygon"), "coordinates": _mostly(st.lists(_polygon, max_size=3))}
    ),
    st.fixed_dictionaries(
        {"type": st.sampled_from(("Point", "LineString", "Odd")), "coordinates": _anything}
    ),
)
_geometry = _mostly(
    st.one_of(
        _plain,
        st.fixed_dictionaries(
            {"type": st.just("GeometryCollection"), "geometries": _mostly(st.lists(_plain, max_size=3))}
        ),
    )
)
_class = st.fixed_dictionaries(
    {}, optional={"name": _mostly(st.just("ROI")), "names": _anything, "color": _anything}
)
_properties = st.fixed_dictionaries(
    {},
    optional={
        "classification": _mostly(_class),
        "name": _mostly(st.text(max_size=9)),
        "color": _mostly(st.lists(st.integers(0, 255), min_size=3, max_size=3)),
        "objectType": _mostly(st.sampled_from(("annotation", "cell"))),
    },
)
_feature = _mostly(
    st.fixed_dictionaries(
        {"type": st.just("Feature"), "geometry": _geometry}, optional={"properties": _properties}
    )
)
_document = st.fixed_dictionaries(
    {"type": st.just("FeatureCollection"), "features": st.lists(_feature, max_size=4)},
    optional={"napari_aln": _anything},
)
_bcnb = st.fixed_dictionaries(
    {"positive": _mostly(st.lists(_mostly(st.fixed_dictionaries({"vertices": _ring})), max_size=3))}
)


@pytest.fixture(scope="module")
def seen():
    """Return how inputs ended, to see that both ways were taken."""
    return set()


@_quick
@example(document=json.loads(SOUND_GEOJSON))
@given(document=st.one_of(_document, _document, _geometry, _bcnb, _anything))
def test_any_json_ends_in_regions_or_a_clear_error(pool, tmp_path, seen, document):
    path = tmp_path / f"{uuid.uuid4()}.json"
    path.write_text(json.dumps(document))
    ended = pool.open("annotation", path)
    assert ended.ended in ENDS_WELL, ended.told
    seen.add(ended.ended)


def test_some_json_was_good_and_some_was_not(seen):
    if not seen:
        pytest.skip("the test before was not run")
    assert seen == ENDS_WELL


_signs = st.sampled_from(
    ("=", "+", "-", "@", "\t", "\r", "\n", ",", ";", '"', "'", " ", "＝", "cmd|'/C calc'!A0", "1")
)
_cells = st.one_of(st.text(max_size=8), st.lists(_signs, max_size=6).map("".join))


@_quick
@given(cells=st.lists(_cells.filter(lambda text: max(text, default="") < "\ud800"), min_size=1, max_size=4))
def test_no_cell_of_an_export_is_computed_by_a_spreadsheet(tmp_path, cells):
    path = tmp_path / "export.csv"
    columns = {f"c{place}": str for place in range(len(cells))}
    write_table(path, columns, [dict(zip(columns, cells, strict=True))])
    with path.open(newline="", encoding="utf-8-sig") as stream:
        _, row = csv.reader(stream)
    for cell in row:
        for part in (
            cell,
            *cell.replace("\t", ";").replace(",", ";").replace("\n", ";").replace("\r", ";").split(";"),
        ):
            starts = part.lstrip(" \u3000")[:1]
            assert starts not in {"=", "+", "-", "@", "\t", "\r", "＝"} or cell in ("+", "-"), (cell, part)


@pytest.mark.parametrize("cell", ["=1", "a;=1", "\t=1", "\n=1", "a,\t=1", "=\t=", "x", "'", "-1"])
def test_a_disarmed_cell_reads_back_as_it_was(cell):
    assert as_meant(harmless(cell)) == cell


@pytest.mark.parametrize("sign", ["+", "-"])
def test_a_receptors_status_stays_as_it_is(sign):
    assert harmless(sign) == sign
