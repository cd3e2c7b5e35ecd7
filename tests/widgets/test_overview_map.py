import numpy as np
import pytest
from qtpy.QtCore import QEvent, QPoint, QPointF, QRectF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication

from napari_aln.widgets.panels.navigation import Navigation
from napari_aln.widgets.panels.overview_map import HEIGHT, MOST_WIDTH, OverviewMap


@pytest.fixture
def overview(qtbot):
    overview = OverviewMap()
    qtbot.addWidget(overview)
    overview.set_picture(np.full((300, 400, 3), 200, np.uint8))
    overview.show()
    return overview


@pytest.mark.parametrize(
    ("height", "width", "shown"),
    [
        (1000, 1000, (HEIGHT, HEIGHT)),
        (500, 5000, (MOST_WIDTH, MOST_WIDTH // 10)),
        (4000, 400, (HEIGHT // 10, HEIGHT)),
    ],
)
def test_slides_of_any_shape_keep_it_and_fit(overview, height, width, shown):
    overview.set_picture(np.zeros((height, width, 3), np.uint8))
    assert (overview.width(), overview.height()) == shown


def test_without_a_picture_it_takes_no_room(overview):
    overview.set_picture(None)
    assert not overview.isVisible()


def test_the_frame_stands_where_the_view_is(overview):
    overview.set_view((0.25, 0.5, 0.5, 0.25))
    width, height = overview.width(), overview.height()
    assert overview.frame() == QRectF(0.25 * width, 0.5 * height, 0.5 * width, 0.25 * height)


def test_a_view_beyond_the_slide_is_framed_within_and_a_tiny_one_can_be_seen(overview):
    overview.set_view((-1.0, -1.0, 3.0, 3.0))
    assert overview.rect().contains(overview.frame().toRect())
    overview.set_view((0.5, 0.5, 1e-4, 1e-4))
    assert overview.frame().width() >= 4


def test_the_frame_is_drawn_on_the_picture(overview):
    overview.set_view((0.25, 0.25, 0.5, 0.5))
    picture = overview.grab().toImage()
    frame = overview.frame()
    assert picture.pixelColor(round(frame.left()), round(frame.center().y())).lightness() < 100
    assert picture.pixelColor(frame.center().toPoint()).lightness() == 200


def test_a_click_and_a_drag_move_there_and_no_further_than_the_slide(overview, qtbot):
    moved = []
    overview.moved.connect(lambda x, y: moved.append((x, y)))
    width, height = overview.width(), overview.height()
    qtbot.mousePress(overview, Qt.MouseButton.LeftButton, pos=QPoint(width // 2, height // 2))
    assert moved == [pytest.approx((0.5, 0.5), abs=0.01)]
    far = QPointF(width + 40, -10)
    left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    drag = QMouseEvent(QEvent.Type.MouseMove, far, overview.mapToGlobal(far), left, left, none)
    QApplication.sendEvent(overview, drag)
    assert moved[-1] == (1.0, 0.0)


def test_another_button_moves_nothing(overview, qtbot):
    with qtbot.assertNotEmitted(overview.moved):
        qtbot.mouseClick(overview, Qt.MouseButton.RightButton)


def test_the_magnification_is_said_where_it_is_known(qtbot):
    navigation = Navigation()
    qtbot.addWidget(navigation)
    navigation.set_power(12.34)
    assert navigation.zoom_text.text() == "Now 12x"
    assert "0.81 µm" in navigation.zoom_text.toolTip()
    navigation.set_power(None)
    assert navigation.zoom_text.text() == ""
