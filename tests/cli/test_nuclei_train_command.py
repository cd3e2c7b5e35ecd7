"""``napari-aln nuclei train`` and ``examples``: pictures in, a model out; and what they refuse."""

from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from napari_aln.nuclei.bundle import open_nucleus_bundle
from napari_aln.nuclei.labelled_folder import read_labelled

QUICK = ("--steps", 3, "--batch", 2, "--square-px", 64, "--device", "cpu")


@pytest.fixture
def call(call):
    return partial(call, "nuclei")


def save(folder, name, rgb, labels):
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rgb).save(folder / f"{name}.png")
    if labels is not None:
        Image.fromarray(labels).save(folder / f"{name}_labels.png")


def picture(side=120):
    labels = np.zeros((side, side), np.uint16)
    for k in range(9):
        top, left = 10 + 38 * (k // 3), 10 + 38 * (k % 3)
        labels[top : top + 20, left : left + 22] = k + 1
    rgb = np.where(labels[..., None] > 0, (95, 60, 140), (226, 170, 200)).astype(np.uint8)
    return rgb, labels


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "annotated"
    for name in ("a", "b", "c"):
        save(path / "breast", name, *picture())
    save(path, "alone", *picture())
    (path / "images.csv").write_text("set,name,mpp,organ\nbreast,a,0.25,x\nbreast,b,,x\n,alone,0.5,x\n")
    return path


def test_a_model_with_its_card(call, folder, tmp_path):
    out = tmp_path / "new" / "m.alnmodel"
    code, said, warned = call(
        "train", folder, "--out", out, *QUICK, "--held-out", 0.34, "--licence", "CC0-1.0", "--seed", 3
    )
    assert code == 0, warned
    card = open_nucleus_bundle(out).card
    assert "µm/px of 2 pictures was estimated" in warned  # b's is empty, c is not in the table
    assert "breast, held out (1 picture, 9 nuclei): F1 " in said
    assert "Research use only" in said
    assert {(s.name, s.pictures, s.nuclei) for s in card.sources} == {("", 1, 9), ("breast", 2, 18)}
    assert [f.source.name for f in card.metrics] == ["breast"]
    assert len(card.held_out) == 1
    assert (card.licence, card.steps, card.name) == ("CC0-1.0", 3, "m")
    told = card.training
    assert (told.settings["seed"], told.settings["batch"], told.settings["held_out"]) == (3, 2, 0.34)
    assert (told.runtime, told.device) == ("torch", "cpu")
    assert told.versions["torch"] == torch.__version__
    assert told.machine["processor"]


def test_the_same_seed_gives_the_same_weights(call, folder, tmp_path):
    hashes, pictures = [], []
    for seed in (1, 1, 2, 2):
        if len(hashes) == 3:
            save(folder / "breast", "b", *picture(130))
        assert call("train", folder, "--out", tmp_path / f"{len(hashes)}", *QUICK, "--seed", seed)[0] == 0
        card = open_nucleus_bundle(tmp_path / f"{len(hashes)}").card
        hashes.append(card.weights_sha256)
        pictures.append(card.training.pictures_sha256)
    assert hashes[0] == hashes[1] != hashes[2]
    assert pictures[0] == pictures[1] == pictures[2] != pictures[3]


def emptied(folder, pattern):
    for path in folder.rglob(pattern):
        path.unlink()


def without_nuclei(folder):
    for path in folder.rglob("*_labels.png"):
        Image.fromarray(picture()[1] * 0).save(path)


RGB, LABELS = picture()
BREAK = {
    "missing": lambda f: save(f / "breast", "d", RGB, None),
    "orphan": lambda f: (f / "breast" / "a.png").unlink(),
    "size": lambda f: save(f / "breast", "a", RGB[:100], LABELS),
    "colours": lambda f: save(f / "breast", "a", RGB, RGB),
    "grey": lambda f: save(f / "breast", "a", RGB[..., 0], LABELS),
    "damaged": lambda f: (f / "breast" / "a.png").write_bytes(b"no picture"),
    "no nuclei": without_nuclei,
    "empty": lambda f: emptied(f, "*.png"),
    "table": lambda f: (f / "images.csv").write_text("file;scale\n"),
    "mpp": lambda f: (f / "images.csv").write_text("set,name,mpp\nbreast,a,400\n"),
}


@pytest.mark.parametrize(
    ("how", "fact"),
    [
        ("missing", "d_labels.png is missing."),
        ("orphan", "a_labels.png has no picture beside it."),
        ("size", "a.png has 120 x 100 pixels, its labels have 120 x 120."),
        ("colours", "a_labels.png holds no labels but colours."),
        ("grey", "a.png is no RGB picture."),
        ("damaged", "a.png cannot be read as a picture"),
        ("no nuclei", "There is no nucleus in any label picture"),
        ("empty", "holds no pictures."),
        ("table", "is no table of pictures"),
        ("mpp", "400.0 µm/px is impossible."),
    ],
)
def test_folders_that_cannot_be_learned_from(call, folder, tmp_path, how, fact):
    BREAK[how](folder)
    code, _, err = call("train", folder, "--out", tmp_path / "m.alnmodel", *QUICK)
    assert code == 2
    assert fact in " ".join(err.split())
    assert "Traceback" not in err
    assert not (tmp_path / "m.alnmodel").exists()


def test_another_table_says_the_scale(call, folder, tmp_path):
    (tmp_path / "t.csv").write_text("set,name,mpp\nbreast,a,0.25\nbreast,b,0.25\nbreast,c,0.25\n,alone,0.5\n")
    read = read_labelled(folder, tmp_path / "t.csv")
    assert [p.mpp for p in read.pictures] == [0.5, 0.25, 0.25, 0.25]
    assert not read.estimated
    code, _, err = call("train", folder, "--out", tmp_path / "m", *QUICK, "--table", tmp_path / "no.csv")
    assert code == 2
    assert "no.csv is no table of pictures" in err


def test_no_folder_and_all_held_out(call, folder, tmp_path):
    code, _, err = call("train", tmp_path / "nowhere", "--out", tmp_path / "m", *QUICK)
    assert code == 2
    assert "There is no folder" in err
    code, _, err = call("train", folder, "--out", tmp_path / "m", *QUICK, "--held-out", 1)
    assert code == 2


@pytest.mark.slow
def test_examples_are_drawn_and_taken_from_a_slide(call, tissue_slide, tmp_path):
    code, said, err = call("examples", tmp_path / "e", "--pictures", 1, "--slide", tissue_slide)
    assert code == 0, err
    read = read_labelled(tmp_path / "e")
    assert f"Wrote {len(read.pictures)} pictures" in said
    assert not read.estimated
    assert [p.group for p in read.pictures].count("synthetic") == 1
    assert tissue_slide.stem not in " ".join(p.name for p in read.pictures)
    drawn = next(p for p in read.pictures if p.group == "synthetic")
    inside, outside = (drawn.rgb[where].mean() for where in (drawn.labels > 0, drawn.labels == 0))
    assert inside < outside - 30  # nuclei are darker than the rest
    code, _, err = call("examples", tmp_path / "e", "--pictures", 2)
    assert code == 2
    assert "is not empty" in err
    assert call("examples", tmp_path / "f", "--pictures", 0)[0] == 2
