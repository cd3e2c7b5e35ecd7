"""Annotations in JSON and XML that lie or are damaged."""

import json
from collections.abc import Iterator

import numpy as np
from broken_bytes import damaged
from broken_json import DEEP, Hostile, odd_json

_MORE = b"".join(b'<!ENTITY b%d "%b">' % (i, b"&b%d;" % (i - 1) * 10) for i in range(1, 12))
LAUGHS = b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b0 "ha">%b]><Annotations>&b11;</Annotations>' % _MORE
OUTSIDE = b"""<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>
<Annotations><Annotation Name="&x;"/></Annotations>"""
SOUND_GEOJSON = json.dumps(
    {
        "type": "FeatureCollection",
        "napari_aln": {"origin": "level0", "origin_l0_xy": [0.0, 0.0], "mpp": [0.5, 0.5], "slide_hash": "h"},
        "features": [
            {
                "type": "Feature",
                "id": "PathAnnotationObject",
                "geometry": {
                    "type": "Polygon",
                    "coordinates": [
                        [[0, 0], [900, 0], [900, 900], [0, 900], [0, 0]],
                        [[10, 10], [20, 10], [20, 20], [10, 10]],
                    ],
                },
                "properties": {
                    "objectType": "annotation",
                    "name": "a",
                    "color": [1, 2, 3],
                    "isLocked": False,
                    "classification": {"name": "Tumor", "color": [200, 0, 0], "names": ["Tumor"]},
                },
            },
            {
                "type": "Feature",
                "properties": {"classification": "ROI", "color": -3670016},
                "geometry": {
                    "type": "GeometryCollection",
                    "geometries": [
                        {
                            "type": "MultiPolygon",
                            "coordinates": [[[[0, 0], [9, 0], [9, 9]]], [[[20, 20], [90, 20], [90, 90]]]],
                        },
                        {"type": "Point", "coordinates": [0, 0]},
                    ],
                },
            },
        ],
    }
).encode()
SOUND_BCNB = json.dumps(
    {"positive": [{"name": "a", "vertices": [[0, 0], [9, 0], [9, 9]]}], "negative": []}
).encode()
_POINTS = ((0, 0), (900, 0), (900, 900), (0, 900))
SOUND_XML = {
    "asap": "<ASAP_Annotations><Annotations>{}</Annotations><AnnotationGroups/></ASAP_Annotations>".format(
        '<Annotation Name="a" Type="Polygon" PartOfGroup="Tumor" Color="#F4FA58">'
        "<Coordinates>{}</Coordinates></Annotation>"
        '<Annotation Name="a" Type="Polygon" PartOfGroup="Tumor hole">'
        "<Coordinates>{}</Coordinates></Annotation>".format(
            "".join(f'<Coordinate Order="{i}" X="{x}" Y="{y}"/>' for i, (x, y) in enumerate(_POINTS)),
            "".join(
                f'<Coordinate Order="{i}" X="{x // 2 + 9}" Y="{y // 2 + 9}"/>'
                for i, (x, y) in enumerate(_POINTS)
            ),
        )
    ).encode(),
    "imagescope": (
        '<Annotations MicronsPerPixel="0.5"><Annotation Id="1" Name="Tumor" LineColor="65280"><Regions>'
        '<Region Id="1" Type="0" Text="a" NegativeROA="0"><Vertices>{}</Vertices></Region>'
        '<Region Id="2" Type="2" Text="b" NegativeROA="1"><Vertices>{}</Vertices></Region>'
        "</Regions></Annotation></Annotations>"
    )
    .format(
        "".join(f'<Vertex X="{x}" Y="{y}" Z="0"/>' for x, y in _POINTS),
        '<Vertex X="10" Y="10"/><Vertex X="200" Y="100"/>',
    )
    .encode(),
    "ndpa": (
        '<annotations><ndpviewstate id="1"><title>Tumor</title><details/>'
        "<coordformat>nanometers</coordformat>"
        '<annotation type="freehand" color="#ff0000"><closed>1</closed><pointlist>{}</pointlist>'
        "</annotation></ndpviewstate>"
        '<ndpviewstate id="2"><title>ROI</title><annotation type="circle">'
        "<x>90000</x><y>90000</y><radius>50000</radius>"
        "</annotation></ndpviewstate></annotations>"
    )
    .format("".join(f"<point><x>{x * 250}</x><y>{y * 250}</y></point>" for x, y in _POINTS))
    .encode(),
}
_ODD_NUMBERS = (
    b"nan",
    b"inf",
    b"-1e308",
    b"1e400",
    b"",
    b"x",
    b"9" * 5000,
    b"-0",
    b"1e-320",
    b"0x1",
    "٣".encode(),
)


def crafted_annotations() -> Iterator[Hostile]:
    square = "[[[0,0],[900,0],[900,900],[0,900]]]"
    nested = '{"type":"GeometryCollection","geometries":[' * 900 + "]}" * 900
    texts = {
        "laughs.xml": LAUGHS,
        "outside.xml": OUTSIDE,
        "outside-dtd.xml": b'<!DOCTYPE Annotations SYSTEM "http://localhost/x.dtd"><Annotations/>',
        "deep.xml": b"<Annotations>" * DEEP,
        "wide.xml": b"<Annotations>" + b"<Annotation/>" * 100_000 + b"</Annotations>",
        "utf7.xml": b'<?xml version="1.0" encoding="utf-7"?><Annotations/>',
        "utf16.xml": SOUND_XML["asap"].decode().encode("utf-16"),
        "include.xml": b'<Annotations xmlns:xi="http://www.w3.org/2001/XInclude">'
        b'<xi:include href="/etc/passwd"/></Annotations>',
        "deep.json": b"[" * DEEP,
        "deep-members.json": b'{"a":' * DEEP,
        "nested.json": nested.encode(),
        "nested-ring.json": f'{{"type":"Polygon","coordinates":{"[" * 900}{"]" * 900}}}'.encode(),
        "type-is-list.json": b'{"type": [], "coordinates": []}',
        "geometry-type-is-list.json": b'{"type": "Feature", "geometry": {"type": {}}}',
        "names.json": SOUND_GEOJSON.replace(b'["Tumor"]', b"[1, null]").replace(b'"name": "Tumor", ', b""),
        "long-number.json": f'{{"type":"Polygon","coordinates":[[[{"9" * 5000},0],[1,0],[1,1]]]}}'.encode(),
        "huge.json": f'{{"type":"Polygon","coordinates":{square.replace("900", "1e9")}}}'.encode(),
        "infinity.json": f'{{"type":"Polygon","coordinates":{square.replace("900", "Infinity")}}}'.encode(),
        "nan.json": f'{{"type":"Polygon","coordinates":{square.replace("900", "NaN")}}}'.encode(),
        "half-a-pair.json": b'{"type":"Polygon","coordinates":[[[0,0],[9,0],[9,9],["\\ud800",1]]]}',
        "surrogates.json": SOUND_GEOJSON.replace(b'"a"', b'"\\ud800"').replace(b'"Tumor"', b'"ROI 1"'),
        "bow-tie.json": b'{"type":"Polygon","coordinates":[[[0,0],[900,900],[900,0],[0,900],[0,0]]]}',
        "hole-outside.json": b'{"type":"Polygon","coordinates":[[[0,0],[9,0],[9,9]],[[50,5],[60,5],[60,9]]]}',
        "needle.json": b'{"type":"Polygon","coordinates":[[[0,0],[1e7,1e-300],[1e7,0],[0,1e-300]]]}',
        "same.json": b'{"type":"Polygon","coordinates":[[[5,5],[5,5],[5,5],[5,5]]]}',
    }
    for x, y, z in (
        (b"0", b"nan", b"inf"),
        (b"1e9", b"1e9", b"-1"),
        (b"x", b"0", b"9" * 5000),
        (b"1", b"1", b"1e308"),
    ):
        circle = b"<x>%b</x><y>%b</y><radius>%b</radius>" % (x, y, z)
        texts[f"circle-{x[:3]!r}-{y[:3]!r}-{z[:3]!r}.ndpa"] = SOUND_XML["ndpa"].replace(
            b"<x>90000</x><y>90000</y><radius>50000</radius>", circle
        )
    yield from (
        Hostile(f"annotation-{name}", "annotation", {name: content}, name) for name, content in texts.items()
    )


def odd_annotation(rng: np.random.Generator) -> Hostile:
    if rng.random() < 0.5:
        sound = SOUND_GEOJSON if rng.random() < 0.7 else SOUND_BCNB
        content = odd_json(sound, rng) if rng.random() < 0.7 else damaged(sound, rng, len(sound))
        return Hostile("annotation", "annotation", {"a.json": content}, "a.json")
    sound = list(SOUND_XML.values())[rng.integers(3)]
    if rng.random() < 0.5:
        return Hostile("annotation", "annotation", {"a.xml": damaged(sound, rng, len(sound))}, "a.xml")
    values = list(_quoted(sound))
    start, end = values[rng.integers(len(values))]
    content = sound[:start] + _ODD_NUMBERS[rng.integers(len(_ODD_NUMBERS))] + sound[end:]
    return Hostile("annotation", "annotation", {"a.xml": content}, "a.xml")


def _quoted(xml: bytes) -> Iterator[tuple[int, int]]:
    """Yield where attributes' values and texts of elements stand."""
    import re

    yield from (found.span(1) for found in re.finditer(rb'"([^"]*)"|>([^<]+)<', xml) if found[1] is not None)
    yield from (found.span(1) for found in re.finditer(rb">([^<]+)<", xml))
