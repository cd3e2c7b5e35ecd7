"""Bad input at the window: one clear message each, and the window goes on working."""

from __future__ import annotations

import json
import pickle
import shutil
import sys
import zipfile

import numpy as np
import pytest
from PIL import Image
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLineEdit
from tests_shared import decoders_that, write_slide
from window_hands import Hands

OUTLINE = [[700, 500], [2100, 500], [2100, 1500], [700, 1500], [700, 500]]


@pytest.fixture
def ready(hands, tissue_slide, ws_bundle, roi_bundle):
    """Return hands at a window in which everything for a run is there, but the ROI."""
    hands.open(tissue_slide)
    hands.load(ws_bundle, roi_bundle)
    hands.fill_patient()
    return hands


def assert_one_message(hands, act, *words: str) -> None:
    """Let a person act; exactly one error must follow, the same in banner and log, with these words."""
    before = len(hands.errors())
    act()
    hands.until(lambda: len(hands.errors()) > before and not any(j.is_running for j in hands.review.jobs))
    hands.qtbot.wait(50)  # a second message would come now
    new = hands.errors()[before:]
    assert len(new) == 1, new
    assert hands.banner() == new[0]
    assert "Traceback" not in new[0]
    assert new[0].endswith(".")
    assert "pytest-of" not in new[0], "the folder is nobody's business"
    missing = [word for word in words if word.lower() not in new[0].lower()]
    assert not missing, f"{missing} not in: {new[0]}"


def test_files_that_cannot_be_used(ready, tissue_slide, ws_bundle, roi_file, tmp_path, monkeypatch):
    slides_that_cannot_be_opened_leave_the_one_that_is_open(ready, tissue_slide, tmp_path, monkeypatch)
    bundles_that_cannot_be_loaded_leave_those_that_are(ready, ws_bundle, tmp_path)
    regions_that_cannot_be_used_leave_the_window_usable(ready, roi_file, tmp_path)


def test_what_is_typed_and_drawn_amiss(ready, tmp_path, monkeypatch):
    clinical_values_out_of_range_are_named_beside_the_field(ready)
    a_click_where_an_outline_was_meant_draws_nothing(ready)
    ready.click(ready.dock.roi.clear_button)
    a_region_drawn_beside_the_slide(ready)
    ready.click(ready.dock.roi.clear_button)
    a_region_too_small_for_a_patch(ready)


def test_a_cache_that_cannot_be_written_and_a_slide_that_is_deleted(
    ready, tissue_slide, tmp_path, monkeypatch
):
    with monkeypatch.context() as patched:
        a_cache_that_cannot_be_written_costs_a_warning_not_the_run(ready, patched, tmp_path)
    if sys.platform != "win32":  # which deletes no file that is open
        a_slide_deleted_while_open_is_named_once(ready, tissue_slide, tmp_path)


def test_a_window_without_a_slide_and_slides_with_hardly_any_tissue(
    hands, roi_file, tissue_slide, ws_bundle, tmp_path
):
    regions_before_a_slide_is_open(hands, roi_file, tissue_slide)
    glass_without_tissue_and_a_crumb_of_tissue(hands, ws_bundle, tmp_path)


def slides_that_cannot_be_opened(folder, good):
    """Return files by what is wrong with them, and words that the message must hold."""
    cut = folder / "cut.tif"
    cut.write_bytes(good.read_bytes()[:3000])
    empty = folder / "zero.svs"
    empty.touch()
    text = folder / "notes.svs"
    text.write_text("no slide", encoding="utf-8")
    letter = folder / "letter.txt"
    letter.write_text("no slide either", encoding="utf-8")
    jpeg = folder / "half.jpg"
    Image.fromarray(np.full((900, 900, 3), 120, np.uint8)).save(jpeg)
    jpeg.write_bytes(jpeg.read_bytes()[:-200])
    nothing = folder / "photos"
    nothing.mkdir()
    (nothing / "readme.txt").touch()
    return {
        cut: ("cut.tif", "copy"),
        empty: ("zero.svs", "empty"),
        text: ("notes.svs", "known type"),
        letter: ("letter.txt", "known type"),
        jpeg: ("half.jpg", "truncated"),
        nothing: ("photos", "no slide"),
        folder / "gone.svs": ("gone.svs", "does not exist"),
    }


def slides_that_cannot_be_opened_leave_the_one_that_is_open(ready, tissue_slide, tmp_path, monkeypatch):
    for path, words in slides_that_cannot_be_opened(tmp_path, tissue_slide).items():
        assert_one_message(ready, lambda path=path: ready.drop(path), *words)
        assert ready.is_open(tissue_slide)
        assert ready.dock.slide_card.title.shown_text() == tissue_slide.name
    with decoders_that(monkeypatch, "os.abort()"):
        deadly = tmp_path / "deadly.tif"
        shutil.copyfile(tissue_slide, deadly)
        assert_one_message(ready, lambda: ready.drop(deadly), "deadly.tif", "crashed", "copy")
        assert ready.is_open(tissue_slide)
    notes = tmp_path / "notes.txt"
    assert_one_message(
        ready, lambda: ready.drop(notes, tissue_slide), "1 file left out: notes.txt", "one by one"
    )
    assert ready.is_open(tissue_slide)
    ready.run("whole-slide")


def bundles_that_cannot_be_loaded_leave_those_that_are(ready, ws_bundle, tmp_path):
    for path, words in bad_bundles(tmp_path, ws_bundle).items():
        assert_one_message(ready, lambda path=path: ready.drop(path), *words)
        assert len(ready.state.bundles) == 2
    ready.run("whole-slide")


def bad_bundles(folder, good):
    """Return bundles by what is wrong with them."""
    with zipfile.ZipFile(good) as archive:
        card, weights = json.loads(archive.read("card.json")), archive.read("weights.safetensors")

    def write(name: str, card: object, weights: bytes):
        path = folder / name
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("card.json", json.dumps(card))
            archive.writestr("weights.safetensors", weights)
        return path

    disguise = folder / "disguise.alnmodel"
    disguise.write_bytes(pickle.dumps({"weights": [1, 2, 3]}))
    cut = folder / "cut.alnmodel"
    cut.write_bytes(good.read_bytes()[:2000])
    without_mode = {key: value for key, value in card.items() if key != "mode"}
    return {
        write("hash.alnmodel", card, weights[:-1] + b"\x01"): ("hash.alnmodel",),
        write("field.alnmodel", without_mode, weights): ("field.alnmodel", "mode"),
        disguise: ("disguise.alnmodel",),
        cut: ("cut.alnmodel",),
        folder / "gone.alnmodel": ("gone.alnmodel",),
    }


def regions_that_cannot_be_used_leave_the_window_usable(ready, roi_file, tmp_path):
    def region(name: str, ring) -> object:
        path = tmp_path / name
        path.write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}), encoding="utf-8")
        return path

    far = [[x + 50_000, y] for x, y in OUTLINE]
    words = tmp_path / "words.geojson"
    words.write_text("not json", encoding="utf-8")
    blank = tmp_path / "blank.geojson"
    blank.write_text('{"type": "FeatureCollection", "features": []}', encoding="utf-8")
    bad = {
        region("far.geojson", far): ("far.geojson", "no region lies on the slide"),
        words: ("words.geojson", "JSON"),
        blank: ("blank.geojson",),
        region("line.geojson", [[0, 0], [10, 10], [0, 0]]): ("line.geojson",),
        tmp_path / "gone.geojson": ("gone.geojson",),
    }
    for path, expected in bad.items():
        assert_one_message(ready, lambda path=path: ready.drop(path), *expected)
        assert ready.state.regions == ()
    bow_tie = region("bow tie.geojson", [[700, 500], [2100, 1500], [2100, 500], [700, 1500], [700, 500]])
    ready.drop(bow_tie)  # can be mended: that is said, and it is no error
    ready.until(lambda: len(ready.state.regions) == 1)
    assert [line for line in ready.warnings() if "crosses itself and was mended" in line]
    assert "crosses itself" in ready.banner()
    assert "gone.geojson" not in ready.banner(), "what went wrong before is done with"
    assert "Ctrl+Z" in ready.banner()
    ready.drop(roi_file)
    ready.until(lambda: not ready.banner())  # nothing to say of this one
    ready.run("roi")


def a_region_too_small_for_a_patch(ready):
    ready.viewer.scene.camera.center = (415, 515)
    ready.click(ready.dock.navigation.power_buttons[1])
    ready.draw([(1000, 800), (1060, 800), (1060, 860), (1000, 860)])
    assert_one_message(
        ready, lambda: ready.click(ready.dock.run.buttons["roi"]), "no patch", "Draw a larger region"
    )
    assert "Failed" in ready.dock.run.status.shown_text()
    ready.run("whole-slide")


def a_click_where_an_outline_was_meant_draws_nothing(ready):
    ready.draw(OUTLINE[:-1])
    drawn = ready.state.regions
    assert ready.dock.roi.draw_button.isChecked()
    for place in ((1500, 1000), (1504, 1004)):  # begun and ended at once
        ready.qtbot.mouseClick(ready.canvas, ready.left, pos=ready.on_canvas(*place))
    assert ready.state.regions == drawn
    assert ready.errors() == []
    ready.draw([(500, 400), (900, 400), (900, 600), (500, 600)])
    assert ready.state.regions != drawn
    ready.run("roi")


def a_region_drawn_beside_the_slide(ready):
    ready.draw([(200, -300), (1200, -300), (1200, -60), (200, -60)])
    press = lambda: ready.click(ready.dock.run.buttons["roi"])  # noqa: E731
    assert_one_message(ready, press, "The drawn ROI", "no region lies on the slide", "Draw it on the tissue")
    ready.click(ready.dock.roi.clear_button)
    ready.draw([(700, 500), (2100, 500), (2100, 1500), (700, 1500)])
    ready.run("roi")


def regions_before_a_slide_is_open(hands, roi_file, tissue_slide):
    assert_one_message(hands, lambda: hands.drop(roi_file), "no slide", "Open its slide first")
    hands.open(tissue_slide)
    hands.import_roi(roi_file)


def glass_without_tissue_and_a_crumb_of_tissue(hands, ws_bundle, tmp_path):
    glass = np.full((1500, 1500, 3), 240, np.uint8)
    crumb = np.random.default_rng(0).integers(60, 220, (600, 600, 3)).astype(np.uint8)
    crumb[..., 1] = crumb[..., 1] // 2 + 40  # pink
    small = glass.copy()
    small[300:900, 300:900] = crumb
    empty, few = write_slide(tmp_path / "glass.tif", glass), write_slide(tmp_path / "crumb.tif", small)
    hands.open(empty)
    hands.load(ws_bundle)
    hands.fill_patient()
    press = lambda: hands.click(hands.dock.run.buttons["whole-slide"])  # noqa: E731
    assert_one_message(hands, press, "No tissue", "glass.tif", "µm/px")
    hands.open(few)
    hands.fill_patient()
    hands.run("whole-slide")  # fewer than ten patches: an answer, with the doubt beside it
    assert hands.state.answers["dlcnbc-ws"].record.n_patches < 10
    card = hands.dock.results.cards["dlcnbc-ws"]
    assert any("one small bag" in text for text in hands.shown_texts(card))


def test_a_pixel_size_is_asked_for_and_impossible_ones_are_not_taken(hands, ws_bundle, tmp_path, rng_slide):
    hands.drop(rng_slide)
    dialog = hands.mpp_dialog()
    for text in ("0", "-1", "half", "0.04", "21", "nan", "inf", "1e9"):
        hands.write_in(dialog.line, text)
        assert not dialog.ok_button.isEnabled(), text
        assert "0.05 to 20" in dialog.problem.shown_text()
        hands.qtbot.keyClick(dialog.line, Qt.Key.Key_Return)
        assert dialog.isVisible()
    hands.qtbot.keyClick(dialog, Qt.Key.Key_Escape)
    hands.load(ws_bundle)
    hands.fill_patient()
    button, reason = hands.dock.run.buttons["whole-slide"], hands.dock.run.reasons["whole-slide"]
    assert not button.isEnabled()
    assert "µm/px" in reason.shown_text()
    assert hands.errors() == []
    hands.click(hands.dock.slide_card.mpp_button)
    hands.answer_mpp("0,5")  # with a comma, as half of Europe writes it
    hands.until(lambda: hands.state.seen is not None)
    hands.fill_patient()
    hands.run("whole-slide")


@pytest.fixture
def rng_slide(tmp_path, tissue_slide):
    """Return the tissue slide as a picture that states no µm/px."""
    import tifffile

    path = tmp_path / "biopsy.png"
    Image.fromarray(tifffile.imread(tissue_slide)).save(path, compress_level=1)
    return path


def clinical_values_out_of_range_are_named_beside_the_field(ready):
    for name, text in (("age", "150"), ("age", "old"), ("tumor_size", "-2")):
        line = ready.part(QLineEdit, f"clinical_{name}")
        ready.write(line, text)
        assert not ready.dock.run.buttons["whole-slide"].isEnabled()
        assert "give a number above 0" in ready.dock.run.reasons["whole-slide"].shown_text()
        ready.write(line, "2")
        assert ready.dock.run.buttons["whole-slide"].isEnabled()
    assert ready.errors() == []


def a_cache_that_cannot_be_written_costs_a_warning_not_the_run(ready, monkeypatch, tmp_path):
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    monkeypatch.setenv("NAPARI_ALN_CACHE", str(in_the_way / "cache"))
    ready.run("whole-slide")
    assert any("not kept" in line for line in ready.warnings())


def test_a_memory_that_cannot_be_written_costs_a_warning(
    make_dock, qtbot, monkeypatch, tmp_path, tissue_slide
):
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    monkeypatch.setenv("NAPARI_ALN_CONFIG", str(in_the_way / "config"))
    hands = Hands(make_dock(), qtbot)
    hands.open(tissue_slide)
    assert any("not remembered" in line for line in hands.warnings())
    assert hands.errors() == []


def a_slide_deleted_while_open_is_named_once(ready, tissue_slide, tmp_path):
    copy = tmp_path / "copy.tif"
    shutil.copy(tissue_slide, copy)
    ready.open(copy)
    ready.fill_patient()
    copy.unlink()
    press = lambda: ready.click(ready.dock.run.buttons["whole-slide"])  # noqa: E731
    assert_one_message(ready, press, "copy.tif", "does not exist")
    ready.click(ready.dock.navigation.power_buttons[-1])  # panning on goes on, or says so once
    ready.qtbot.wait(300)
    assert len(ready.errors()) <= 2
    ready.open(tissue_slide)
    ready.fill_patient()
    ready.run("whole-slide")
