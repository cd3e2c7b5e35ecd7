import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QLabel
from widget_records import LONG_NAME, all_texts, child, model_card

from napari_aln.mil.card import Metric, Threshold
from napari_aln.widgets.panels.model_list import ModelList


@pytest.fixture
def models(qtbot):
    models = ModelList()
    qtbot.addWidget(models)
    models.show()
    models.resize(320, 600)
    return models


CARDS = {
    "a": model_card(),
    "b": model_card(name="second"),
    "c": model_card("dlcnbc"),
    "d": model_card("dlcnb"),
}


def test_one_of_each_mode_is_chosen(models):
    models.set_models(CARDS, {"dlcnbc-ws": "b"})
    assert models.chosen() == {"dlcnbc-ws": "b", "dlcnbc": "c", "dlcnb": "d"}


def test_a_chosen_model_that_is_gone_gives_way_to_the_first(models):
    models.set_models(CARDS, {"dlcnbc-ws": "gone"})
    assert models.chosen()["dlcnbc-ws"] == "a"


@pytest.mark.parametrize("target", ["model_choose", "name"])
def test_a_click_on_button_or_name_chooses_within_the_mode(models, qtbot, target):
    models.set_models(CARDS, {})
    QApplication.processEvents()  # lays the cards out
    second = child(models, "model_b")
    label = next(part for part in second.findChildren(QLabel) if part.text() == "second")
    control = child(second, "model_choose") if target == "model_choose" else label
    told = []
    models.chosen_changed.connect(lambda: told.append(models.chosen()))
    qtbot.mouseClick(control, Qt.MouseButton.LeftButton)
    assert told == [{"dlcnbc-ws": "b", "dlcnbc": "c", "dlcnb": "d"}]


def test_showing_models_is_no_choice(models, qtbot):
    with qtbot.assertNotEmitted(models.chosen_changed):
        models.set_models(CARDS, {"dlcnbc-ws": "b"})
        models.set_models(CARDS, {"dlcnbc-ws": "a"})


def test_removing_names_the_key(models, qtbot):
    models.set_models(CARDS, {})
    with qtbot.waitSignal(models.remove_requested) as told:
        qtbot.mouseClick(child(child(models, "model_c"), "model_remove"), Qt.MouseButton.LeftButton)
    assert told.args == ["c"]


def test_adding(models, qtbot):
    assert "No model is loaded" in all_texts(models)
    with qtbot.waitSignal(models.add_requested):
        qtbot.mouseClick(child(models, "model_add"), Qt.MouseButton.LeftButton)


def test_without_a_model_the_demonstration_is_one_click_away(models, qtbot):
    button = child(models, "model_demo")
    with qtbot.waitSignal(models.demo_requested):
        qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    models.set_models({"a": model_card()}, {})
    assert not button.isVisible()


def test_a_card_says_what_must_be_known(models, qtbot):
    card = model_card(
        intended_use="Demonstration model, no clinical meaning.",
        metrics=(Metric(name="AUC", value=0.81, n=60, cohort="test", low=0.7, high=0.9),),
        thresholds=(Threshold(value=0.52, operating_point="Youden", chosen_on="validation"),),
        licence="CC0-1.0",
    )
    models.set_models({"a": card}, {})
    QApplication.processEvents()  # lays the card out
    texts = all_texts(models)
    for part in (card.name, "N0 / N(+)", "0.5 µm/px", "squeezenet1_1", "DLCNBC-WS: whole slide"):
        assert part in texts
    details = child(models, "model_a").details
    assert not details.isVisible()
    qtbot.mouseClick(child(models, "model_details"), Qt.MouseButton.LeftButton)
    assert details.isVisible()
    figures = "AUC 0.810 (0.700 to 0.900), test, 60 patients"
    for part in (card.intended_use, figures, "Youden", "Licence: CC0-1.0", "85dc4c1e"):
        assert part in details.shown_text()


def test_research_use_is_said_even_where_the_card_states_a_use(models, qtbot):
    models.set_models({"a": model_card(intended_use="Anything.")}, {})
    QApplication.processEvents()  # lays the card out
    qtbot.mouseClick(child(models, "model_details"), Qt.MouseButton.LeftButton)
    assert "Research use only" in all_texts(models)


def test_long_name_fits_a_narrow_dock(models):
    models.set_models({"a": model_card(name=LONG_NAME)}, {})
    assert models.minimumSizeHint().width() <= 300
