import pytest
from qtpy.QtCore import QRect, Qt
from qtpy.QtWidgets import QApplication
from widget_records import LONG_NAME, all_texts, child, run_record

from napari_aln.records import RESEARCH_NOTICE
from napari_aln.widgets.panels.result_card import ResultCard


@pytest.fixture
def make_card(qtbot):
    def make(record, slide_warnings=()):
        card = ResultCard(record, slide_warnings)
        qtbot.addWidget(card)
        card.resize(320, 300)
        card.show()
        return card

    return make


def test_every_number_stands_with_what_it_rests_on(make_card):
    texts = all_texts(make_card(run_record(warnings=("Few patches.",)))).replace("\u202f", " ")
    for part in (
        "DLCNBC-WS, whole slide",
        "0.287 ± 0.041",
        "0.713 ± 0.042",
        "Decision: N(+)",
        "Youden, N(+) from 0.520, chosen on validation",
        "143 bags in 7 partitions, seed 3",
        "1 412 patches of 256 px at 0.5 µm/px",
        "cpu, openvino, fp32 · 12.3 s",
        "a demo model · 85dc4c1e",
        "Few patches.",
        RESEARCH_NOTICE,
    ):
        assert part in texts, part


def test_what_is_wrong_with_the_slide_stands_beside_the_numbers(make_card):
    warnings = ("stain_far: Stained unlike the cohort: 7.2 off.", "Only this: no code.")
    texts = all_texts(make_card(run_record(n_bags=1, n_partitions=1), warnings))
    assert "Stained unlike the cohort: 7.2 off." in texts
    assert "stain_far" not in texts
    assert "Only this: no code." in texts
    assert "over 1 bag in 1 partition," in texts


def test_one_partition_and_filled_values(make_card):
    filled = {"age_years": 56.39, "er": False, "her2": True}
    facts = child(make_card(run_record(n_partitions=1, clinical_filled=filled)), "result_facts").shown_text()
    assert "in 1 partition," in facts
    assert "Filled from the training cohort: age 56.4 years; ER negative; HER2 positive" in facts


def test_three_classes(make_card):
    probabilities = {"N0": 0.2, "N+(1-2)": 0.5, "N+(>2)": 0.3}
    record = run_record(
        probabilities=probabilities,
        bag_spread=dict.fromkeys(probabilities, 0.01),
        prediction="N+(1-2)",
        threshold=None,
        operating_point="the most probable class",
    )
    texts = all_texts(make_card(record))
    assert "Decision: N+(1-2)" in texts
    assert "the most probable class" in texts
    assert "0.300 ± 0.010" in texts


def test_the_map_is_asked_for_by_run(make_card, qtbot):
    card = make_card(run_record("dlcnbc", run="dlcnbc #2"))
    with qtbot.waitSignal(card.show_map_requested) as told:
        qtbot.mouseClick(child(card, "result_show_map"), Qt.MouseButton.LeftButton)
    assert told.args == ["dlcnbc #2"]


def test_a_stale_result_says_why_and_recovers(make_card):
    card = make_card(run_record())
    note = child(card, "result_stale")
    fresh = _darkest_of_decision(card)
    card.set_stale("The ROI changed since this run.")
    assert note.isVisible()
    assert "The ROI changed since this run." in all_texts(card)
    assert _darkest_of_decision(card) > fresh + 50
    card.set_stale(None)
    assert not note.isVisible()
    assert _darkest_of_decision(card) == fresh


def _darkest_of_decision(card):
    QApplication.processEvents()  # lays the card out
    decision = child(card, "result_decision")
    where = QRect(decision.mapTo(card, decision.rect().topLeft()), decision.size())
    picture = card.grab(where).toImage()
    points = [(x, y) for x in range(picture.width()) for y in range(picture.height())]
    return min(picture.pixelColor(x, y).lightness() for x, y in points)


def test_two_cards_fit_under_each_other(make_card):
    cards = [make_card(run_record(model_name=LONG_NAME)), make_card(run_record("dlcnbc"))]
    assert max(card.minimumSizeHint().width() for card in cards) <= 300
    assert sum(card.heightForWidth(320) for card in cards) <= 640
