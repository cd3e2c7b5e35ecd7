import matplotlib
import pytest

from napari_aln.widgets.panels.legend import BAR_HEIGHT, MARKER_HEIGHT, SIDE_MARGIN, Legend, Scale, nice_ticks


@pytest.fixture
def legend(qtbot):
    legend = Legend()
    qtbot.addWidget(legend)
    legend.resize(300, legend.sizeHint().height())
    legend.show()
    return legend


@pytest.mark.parametrize(
    ("limits", "texts"),
    [
        ((0.0, 1.0), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        ((0.0, 4.37), ["0", "1", "2", "3", "4"]),
        ((-0.0132, 0.0132), ["−0.01", "0.00", "0.01"]),
        ((5.12, 7.61), ["5.5", "6.0", "6.5", "7.0", "7.5"]),
    ],
)
def test_ticks_are_round_and_inside(limits, texts):
    ticks = nice_ticks(limits)
    assert [text for _, text in ticks] == texts
    assert all(limits[0] <= value <= limits[1] for value, _ in ticks)


def test_ticks_tell_values_apart_on_a_tiny_scale():
    texts = [text for _, text in nice_ticks((3.0001, 3.0004))]
    assert len(set(texts)) == len(texts) >= 2


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_value_stands_over_its_own_colour(legend, share):
    legend.set_scale(Scale((-2.0, 2.0), "viridis", "neither"))
    legend.set_value(-2.0 + 4.0 * share)
    x = legend.marker_x()
    assert x == pytest.approx(SIDE_MARGIN + share * (300 - 2 * SIDE_MARGIN))
    inside = min(max(round(x), SIDE_MARGIN + 2), 300 - SIDE_MARGIN - 2)
    seen = legend.grab().toImage().pixelColor(inside, MARKER_HEIGHT + BAR_HEIGHT // 2)
    wanted = matplotlib.colormaps["viridis"](share)
    assert (seen.redF(), seen.greenF(), seen.blueF()) == pytest.approx(wanted[:3], abs=0.04)


@pytest.mark.parametrize(("value", "end"), [(9.0, 300 - SIDE_MARGIN), (-9.0, SIDE_MARGIN)])
def test_a_value_beyond_the_scale_stands_at_its_end(legend, value, end):
    legend.set_scale(Scale((0.0, 1.0), "viridis", "both"))
    legend.set_value(value)
    assert legend.marker_x() == pytest.approx(end)


def test_ends_are_drawn_only_where_values_lie_beyond(legend):
    pixels = {}
    for extend in ("neither", "max"):
        legend.set_scale(Scale((0.0, 1.0), "viridis", extend))
        picture = legend.grab().toImage()
        y = MARKER_HEIGHT + BAR_HEIGHT // 2
        pixels[extend] = [picture.pixelColor(x, y).name() for x in (SIDE_MARGIN - 4, 300 - SIDE_MARGIN + 4)]
    assert pixels["neither"][0] == pixels["max"][0]
    assert pixels["neither"][1] != pixels["max"][1]


@pytest.mark.parametrize("value", [None, float("nan")])
def test_no_value_no_marker(legend, value):
    legend.set_scale(Scale((0.0, 1.0), "viridis", "neither"))
    legend.set_value(value)
    assert legend.marker_x() is None
    legend.set_scale(None)
    legend.set_value(0.5)
    assert legend.marker_x() is None


def test_it_can_be_heard(legend):
    legend.set_scale(Scale((0.0, 4.0), "viridis", "max"))
    legend.set_value(2.5)
    assert legend.accessibleName() == "Legend from 0 to 4, 2.5 under the cursor"
