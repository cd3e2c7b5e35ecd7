"""Hamamatsu's NDPA: nanometres from the centre of the glass, brought to level-0 pixels."""

import numpy as np
import pytest
import tifffile

from napari_aln.annotations import read_annotations, read_regions
from napari_aln.errors import AnnotationError
from napari_aln.geometry import ScannerFrame, scanner_nm_to_l0
from napari_aln.slides import open_slide

# A picture of 2000 x 1000 px at 0.25 x 0.2 µm/px, its centre 3 mm right of and 1 mm above the glass's centre.
OFFSET_NM, NM_PER_PX, SIZE_PX = (3_000_000, -1_000_000), (250.0, 200.0), (2000, 1000)
FRAME = ScannerFrame(
    tuple(o - s / 2 * n for o, s, n in zip(OFFSET_NM, SIZE_PX, NM_PER_PX, strict=True)), NM_PER_PX
)


def nm(x, y):
    """Return where a level-0 pixel lies on the glass; the formula of QuPath's scripts, the other way."""
    return tuple(
        (v - s / 2) * n + o for v, s, n, o in zip((x, y), SIZE_PX, NM_PER_PX, OFFSET_NM, strict=True)
    )


def state(number, inside, title="tumour", details=""):
    return (
        f'<ndpviewstate id="{number}"><title>{title}</title><details>{details}</details>'
        f"<coordformat>nanometers</coordformat><lens>0.44</lens><x>1</x><y>1</y><z>0</z>{inside}</ndpviewstate>"
    )


def freehand(*corners, closed=1, color="#ff00a0"):
    points = "".join(
        f"<point><x>{x:.0f}</x><y>{y:.0f}</y></point>" for x, y in (nm(*corner) for corner in corners)
    )
    return (
        f'<annotation type="freehand" displayname="AnnotateFreehand" color="{color}">'
        f"<closed>{closed}</closed><pointlist>{points}</pointlist></annotation>"
    )


def square(low, high, **look):
    return freehand((low, low), (high, low), (high, high), (low, high), **look)


PIN = '<annotation type="pin" displayname="AnnotatePin"><x>1</x><y>2</y></annotation>'


@pytest.fixture
def written(tmp_path):
    def write(*states):
        path = tmp_path / "a.ndpi.ndpa"
        path.write_text(f"<annotations>{''.join(states)}</annotations>", encoding="utf-8")
        return path

    return write


def test_the_glass_s_centre_and_the_pictures_corners():
    assert scanner_nm_to_l0(OFFSET_NM, FRAME).tolist() == [1000, 500]
    assert scanner_nm_to_l0(FRAME.corner_nm, FRAME).tolist() == [0, 0]
    np.testing.assert_allclose(scanner_nm_to_l0([nm(0.5, 999), nm(2000, 7)], FRAME), [(0.5, 999), (2000, 7)])


def test_outlines_circles_titles_and_colours(written):
    x, y = nm(300, 400)
    circle = (
        f'<annotation type="circle" color="#000000"><x>{x}</x><y>{y}</y><radius>25000</radius></annotation>'
    )
    path = written(
        state(1, square(100, 500)),
        state(2, circle, title="", details="Stroma"),
        state(3, PIN),
        state(4, square(1, 9, closed=0)),
        state(5, ""),
    )
    tumour, disc = read_regions(path, scanner=FRAME)
    assert tumour.geometry.bounds == pytest.approx((100, 100, 500, 500), abs=0.01)  # whole nanometres
    assert (tumour.name, tumour.classification, tumour.color_rgb) == ("tumour", "tumour", (255, 0, 160))
    assert disc.geometry.bounds == pytest.approx((200, 275, 400, 525))  # 25 µm at 0.25 x 0.2 µm/px
    assert disc.classification == "Stroma"
    read = read_annotations(path, origin="bounds", bounds_xy=(9999, 9999), scanner=FRAME)
    assert read.regions[0].geometry.bounds == tumour.geometry.bounds  # the glass has no other origin
    assert (read.format, read.states_origin) == ("NDPA", True)


def test_what_qupaths_script_writes_as_clear_is_a_hole_of_the_outline_before(written):
    first, second = read_regions(
        written(
            state(1, square(0, 100)),
            state(2, square(10, 20), title="clear", details="clear"),
            state(3, square(30, 50), title="clear", details="clear"),
            state(4, square(200, 300)),
        ),
        scanner=FRAME,
    )
    assert first.geometry.area == pytest.approx(10_000 - 100 - 400, rel=1e-4)
    assert len(first.geometry.interiors) == 2
    assert second.geometry.area == pytest.approx(10_000, rel=1e-4)


def test_without_the_slides_place_it_is_refused_with_what_is_needed(written):
    with pytest.raises(AnnotationError, match=r"nanometres from the centre of the glass.*--slide"):
        read_regions(written(state(1, square(0, 100))))


@pytest.mark.parametrize(
    ("states", "fact"),
    [
        ([], "holds no area"),
        ([state(1, PIN)], "holds no area"),
        ([state(1, square(0, 9)).replace("nanometers", "pixels")], "counts in 'pixels'"),
        ([state(1, freehand((0, 0), (5, 5)))], "annotation 1 has 2 vertices"),
        ([state(1, square(0, 9)).replace("<x>", "<x>a")], "not pairs of numbers"),
        ([state(1, square(0, 9).replace("<y>", "<z>").replace("</y>", "</z>"))], "not pairs of numbers"),
        ([state(1, '<annotation type="circle"><x>1</x><y>1</y></annotation>')], "without centre or radius"),
        (
            [state(1, '<annotation type="circle"><x>nan</x><y>1</y><radius>5</radius></annotation>')],
            "not a finite number|has 0 vertices",
        ),
        ([state(1, square(0, 9e9))], "more pixels than any slide"),
    ],
)
def test_bad_files(written, states, fact):
    with pytest.raises(AnnotationError, match=fact):
        read_regions(written(*states), scanner=FRAME)


@pytest.fixture
def ndpi(tmp_path):
    """A picture with the tags that Hamamatsu's scanners write, whose reader OpenSlide then is."""
    path = tmp_path / "slide.ndpi"
    tags = [
        (65420, "I", 1, 1, True),  # NDPI's mark
        (65421, "f", 1, 20.0, True),  # source lens
        (65422, "i", 1, OFFSET_NM[0], True),
        (65423, "i", 1, OFFSET_NM[1], True),
        (65424, "i", 1, 0, True),  # focal plane
    ]
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(
            np.full((SIZE_PX[1], SIZE_PX[0], 3), 200, np.uint8),
            compression="jpeg",
            photometric="rgb",
            rowsperstrip=SIZE_PX[1],
            resolution=(1e7 / NM_PER_PX[0], 1e7 / NM_PER_PX[1]),
            resolutionunit="CENTIMETER",
            software="NDP.scan",
            extratags=tags,
            metadata=None,
        )
    return path


def test_a_slide_of_another_scanner_does_not_say(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((64, 64, 3), np.uint8), tile=(64, 64), photometric="rgb")
    with open_slide(tmp_path / "a.tif") as slide:
        assert slide.info.scanner is None


def test_an_ndpi_slide_says_where_it_lies(ndpi):
    with open_slide(ndpi, mpp=0.5) as slide:  # the user's µm/px moves no annotation
        assert slide.info.size_px == SIZE_PX
        np.testing.assert_allclose(slide.info.scanner.corner_nm, FRAME.corner_nm)
        np.testing.assert_allclose(slide.info.scanner.nm_per_px, NM_PER_PX)
