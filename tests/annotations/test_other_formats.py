"""BCNB JSON, ASAP XML and ImageScope XML."""

import json

import pytest
from shapely.geometry import box

from napari_aln.annotations import read_regions
from napari_aln.errors import AnnotationError


@pytest.fixture
def written(tmp_path):
    def write(text, name="regions.xml"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


BCNB = {
    "positive": [
        {"name": "Annotation 0", "vertices": [[10, 10], [110, 10], [110, 60], [10, 60]]},
        {"name": "Annotation 1", "vertices": [[200, 200], [220, 200], [220, 220]]},
    ],
    "negative": [{"name": "Annotation 2", "vertices": [[0, 0], [5, 0], [5, 5]]}],
}


def test_bcnb(written):
    first, second, negative = read_regions(written(json.dumps(BCNB), "351899.json"))
    assert first.geometry.equals(box(10, 10, 110, 60))
    assert (first.name, first.classification) == ("Annotation 0", "tumour ROI")
    assert second.geometry.area == 200
    assert negative.classification == "negative"


def test_bcnb_shifted_by_the_bounds(written):
    path = written(json.dumps(BCNB), "351899.json")
    assert read_regions(path, origin="bounds", bounds_xy=(5, 7))[0].geometry.equals(box(15, 17, 115, 67))


@pytest.mark.parametrize(
    ("document", "fact"),
    [
        ({"positive": [], "negative": []}, "holds no region"),
        ({"positive": {}}, "holds no region"),
        ({"positive": "all"}, "is not a list"),
        ({"positive": [{"name": "a"}]}, "positive region 1 has no vertices"),
        ({"positive": [{"vertices": []}]}, "has 0 vertices"),
        ({"positive": [{"vertices": [[1, 2], [3, None], [4, 5]]}]}, "not pairs of numbers"),
        ({"positive": [7]}, "positive region 1 has no vertices"),
    ],
)
def test_bad_bcnb(written, document, fact):
    with pytest.raises(AnnotationError, match=fact):
        read_regions(written(json.dumps(document), "bad.json"))


ASAP = """<?xml version="1.0"?>
<ASAP_Annotations>
  <Annotations>
    <Annotation Name="Annotation 0" Type="Polygon" PartOfGroup="Tumor" Color="#F4FA58">
      <Coordinates>
        <Coordinate Order="0" X="10.5" Y="10"/>
        <Coordinate Order="2" X="110.5" Y="60"/>
        <Coordinate Order="1" X="110.5" Y="10"/>
        <Coordinate Order="3" X="10.5" Y="60"/>
      </Coordinates>
    </Annotation>
    <Annotation Name="Annotation 1" Type="Rectangle" PartOfGroup="None" Color="none">
      <Coordinates>
        <Coordinate Order="0" X="0" Y="0"/><Coordinate Order="1" X="4" Y="0"/>
        <Coordinate Order="2" X="4" Y="4"/><Coordinate Order="3" X="0" Y="4"/>
      </Coordinates>
    </Annotation>
    <Annotation Name="mark" Type="Dot" PartOfGroup="None" Color="#F4FA58">
      <Coordinates><Coordinate Order="0" X="1" Y="1"/></Coordinates>
    </Annotation>
  </Annotations>
  <AnnotationGroups><Group Name="Tumor" PartOfGroup="None" Color="#64FE2E"/></AnnotationGroups>
</ASAP_Annotations>"""


def test_asap(written):
    tumour, plain = read_regions(written(ASAP))
    assert tumour.geometry.equals(box(10.5, 10, 110.5, 60))
    assert (tumour.name, tumour.classification) == ("Annotation 0", "Tumor")
    assert tumour.color_rgb == (0xF4, 0xFA, 0x58)
    assert (plain.classification, plain.color_rgb) == ("", None)


IMAGESCOPE = """<Annotations MicronsPerPixel="0.499">
  <Annotation Id="1" Name="" LineColor="255">
    <Attributes><Attribute Name="Description" Id="0" Value="tumor"/></Attributes>
    <Regions>
      <RegionAttributeHeaders><AttributeHeader Id="9999" Name="Region"/></RegionAttributeHeaders>
      <Region Id="1" Type="0" NegativeROA="0" Text="core">
        <Vertices>
          <Vertex X="0" Y="0" Z="0"/><Vertex X="100" Y="0" Z="0"/><Vertex X="100" Y="100" Z="0"/>
          <Vertex X="0" Y="100" Z="0"/>
        </Vertices>
      </Region>
      <Region Id="2" Type="0" NegativeROA="1" Text="necrosis">
        <Vertices>
          <Vertex X="10" Y="10"/><Vertex X="30" Y="10"/><Vertex X="30" Y="30"/><Vertex X="10" Y="30"/>
        </Vertices>
      </Region>
      <Region Id="3" Type="4"><Vertices><Vertex X="1" Y="1"/><Vertex X="5" Y="5"/></Vertices></Region>
    </Regions>
  </Annotation>
  <Annotation Id="2" Name="vessel" LineColor="65280">
    <Regions>
      <Region Id="1" Type="2"><Vertices><Vertex X="10" Y="20"/><Vertex X="50" Y="40"/></Vertices></Region>
    </Regions>
  </Annotation>
</Annotations>"""


def test_imagescope(written):
    core, vessel = read_regions(written(IMAGESCOPE))
    assert core.geometry.area == 100 * 100 - 20 * 20
    assert (core.name, core.classification, core.color_rgb) == ("core", "tumor", (255, 0, 0))
    assert (vessel.classification, vessel.color_rgb) == ("vessel", (0, 255, 0))
    assert vessel.geometry.bounds == pytest.approx((10, 20, 50, 40))
    assert vessel.geometry.area == pytest.approx(3.14159 * 20 * 10, rel=2e-3)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf16_with_and_without_a_byte_order_mark(tmp_path, encoding):
    path = tmp_path / "regions"
    path.write_text('<?xml version="1.0" encoding="utf-16"?>' + IMAGESCOPE, encoding=encoding)
    assert len(read_regions(path)) == 2
    path.write_text(json.dumps(BCNB), encoding=encoding)
    assert len(read_regions(path)) == 3


def test_asap_groups_of_holes_are_cut_from_the_smallest_outline_around_them(written):
    def square(group, low, high):
        corners = [(low, low), (high, low), (high, high), (low, high)]
        vertices = "".join(f'<Coordinate Order="{i}" X="{x}" Y="{y}"/>' for i, (x, y) in enumerate(corners))
        return (
            f'<Annotation Name="{group}" Type="Polygon" PartOfGroup="{group}">'
            f"<Coordinates>{vertices}</Coordinates></Annotation>"
        )

    drawn = [
        square("Tumor", 0, 100),
        square("Tumor", 5, 50),
        square("Stroma", 9, 31),
        square("Tumor hole", 10, 30),
    ]
    text = f"<ASAP_Annotations><Annotations>{''.join(drawn)}</Annotations></ASAP_Annotations>"
    outer, inner, stroma = read_regions(written(text))
    assert (outer.geometry.area, inner.geometry.area, stroma.geometry.area) == (10_000, 45**2 - 400, 484)


BILLION_LAUGHS = """<?xml version="1.0"?>
<!DOCTYPE lolz [
  <!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">
]>
<ASAP_Annotations><Annotations><Annotation Name="&c;" Type="Polygon"/></Annotations></ASAP_Annotations>"""
PARAMETER_ENTITY = """<?xml version="1.0"?><!DOCTYPE a [<!ENTITY % f SYSTEM "http://192.0.2.1/f.dtd"> %f;]>
<Annotations/>"""
ENTITY = """<?xml version="1.0"?><!DOCTYPE a [<!ENTITY f SYSTEM "file:///etc/hostname">]>
<Annotations><Annotation Name="&f;"/></Annotations>"""


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        (BILLION_LAUGHS, "defines XML entities"),
        (ENTITY, "defines XML entities"),
        (PARAMETER_ENTITY, "defines XML entities"),
        ('<!DOCTYPE a SYSTEM "http://192.0.2.1/a.dtd"><Annotations/>', "defines XML entities"),
        ("<ASAP_Annotations>" + "<Annotations>" * 100_000, "nested too deeply"),
        ("<ASAP_Annotations><Annotations>", "not well-formed XML"),
        ('<?xml version="1.0" encoding="klingon"?><Annotations/>', "not well-formed XML"),
        ("<html><body/></html>", "unknown root 'html'"),
        ("<ASAP_Annotations><Annotations/></ASAP_Annotations>", "holds no area"),
        ("<Annotations/>", "holds no area"),
        (ASAP.replace('X="10.5"', 'X="ten"'), "not pairs of numbers"),
        (ASAP.replace('X="10.5"', ""), "not pairs of numbers"),
        (ASAP.replace('X="10.5"', 'X="nan"'), "not a finite number"),
        (ASAP.replace('Order="2"', 'Order="x"'), "out of order"),
        (IMAGESCOPE.replace('X="100"', 'X="1e300"'), "more pixels than any slide"),
    ],
    ids=lambda value: value[:24] if "<" in value else value,
)
def test_bad_xml(written, text, fact):
    with pytest.raises(AnnotationError, match=fact):
        read_regions(written(text))
