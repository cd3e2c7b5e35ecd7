"""``--json`` and ``--quiet``: every command of the real tree, each reading one on a small real input."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import typer.main
from PIL import Image
from tests_shared import SLIDE_SIZE_PX, drain

from napari_aln.cli import output
from napari_aln.cli.app import app
from napari_aln.evaluation.tables import PaperTable
from napari_aln.mil.bundle import open_bundle
from napari_aln.records import Clinical, Progress
from napari_aln.settings.nuclei import NucleiSettings
from napari_aln.slides import open_slide
from napari_aln.store.features import FeatureCache
from napari_aln.workflows.doctor import Finding
from napari_aln.workflows.evaluation.folder import write_evaluation
from napari_aln.workflows.interpretation.interpret import REPORT_NAME
from napari_aln.workflows.interpretation.tables import Interpretation
from napari_aln.workflows.nuclei.folder import NucleiRequest, nuclei_to_folder
from napari_aln.workflows.predict import Request, predict_to_folder

PATIENT = Clinical(age_years=61, tumor_size_cm=2.4, er=True, pr=False, her2=False)
VALUES = ("--age", "61", "--tumor-size", "2.4", "--er", "+", "--pr", "-", "--her2", "-")
HOSTILE = "a\x1b[2Jb\x9b31mc\x7fd\u202ee\udc80f"
MAKING = {
    "view",
    "demo",
    "train",
    "pretrain",
    "train-demo",
    "model import-balnmp",
    "nuclei train",
    "nuclei examples",
    "cohort synthesize",
    "cohort import-bcnb",
    "cohort split",
    "cohort baseline",
    "annotations convert",
    "cache clear",
}


@dataclass
class World:
    """A slide that was predicted once, with the nuclei of its tissue, and tables about it."""

    slide: Path
    bundle: Path
    labels: Path
    result: Path
    cache: Path
    scores: Path
    cohort: Path


@pytest.fixture(scope="module")
def world(tmp_path_factory, tissue_slide, ws_bundle):
    folder = tmp_path_factory.mktemp("world")
    labels = np.zeros(SLIDE_SIZE_PX[::-1], np.uint16)
    for number in range(1, 901):
        x, y, side = 540 + 60 * (number % 30), 440 + 40 * (number // 30), 8 + number % 9
        labels[y : y + side, x : x + 12] = number
    Image.fromarray(labels).save(folder / "labels.png")
    with open_slide(tissue_slide) as slide:
        request = Request([open_bundle(ws_bundle)], clinical=PATIENT, cache=FeatureCache(folder / "cache"))
        _, result = drain(predict_to_folder(slide, request, folder / "results"))
        asked = NucleiRequest(NucleiSettings(), labels=folder / "labels.png")
        drain(nuclei_to_folder(slide, asked, result))
    lines = [
        f"{n:02d},{n % 2},{0.3 + 0.3 * (n % 2) + 0.01 * n % 0.25:.3f},{'val' if n < 16 else 'test'}"
        for n in range(40)
    ]
    (folder / "scores.csv").write_text("\n".join(["patient,label,score,split", *lines]))
    header = "patient_id,slide,age_years,tumor_size_cm,er,pr,her2,label,split"
    rows = [f"P{n},{tissue_slide},61,2.4,+,-,-,{('N0', 'N(+)')[n]},test" for n in range(2)]
    (folder / "cohort.csv").write_text("\n".join([header, *rows]))
    return World(
        tissue_slide,
        ws_bundle,
        folder / "labels.png",
        result,
        folder / "cache",
        folder / "scores.csv",
        folder / "cohort.csv",
    )


@pytest.fixture
def call(call, world, monkeypatch):
    monkeypatch.setenv("NAPARI_ALN_CACHE", str(world.cache))
    monkeypatch.setenv("FORCE_COLOR", "1")  # as on a terminal: bars are drawn unless something hides them
    return call


def interpreted(cohort_csv, out, settings, nuclei, given=None, *, private=False):
    """Stand in for half a minute of measuring and training; what it writes is written by the program."""
    if not cohort_csv.exists():
        yield from really_interpret(cohort_csv, out, settings, nuclei, given=given, private=private)
    yield Progress("measure", 0, 2)
    table = PaperTable("features", "Nucleus features", ("Feature",), (("Area",),), numbers=({"p": 1 / 3},))
    found = Interpretation(tables=[table])
    write_evaluation(found, out / REPORT_NAME, settings)
    return found


def really_interpret(*arguments, **named):
    from napari_aln.workflows.interpretation.interpret import interpret

    return interpret(*arguments, **named)


# What each reading command is called with (w: World, out: a new folder), and one thing it says.
READING = {
    "doctor": (lambda w, out: [], lambda d: d[0]["fact"] == HOSTILE),
    "cache info": (lambda w, out: [], lambda d: d[0]["entries"] == 1 and d[0]["held"][0]["bytes"] > 0),
    "model show": (lambda w, out: [w.bundle], lambda d: d["mode"] == "dlcnbc-ws"),
    "model verify": (lambda w, out: [w.bundle], lambda d: len(d["sha256"]) == 64),
    "verify": (lambda w, out: [w.result, "--slide", w.slide, "--model", w.bundle], lambda d: d["equal"]),
    "cohort check": (lambda w, out: [w.cohort], lambda d: d["n_patients"] == 2),
    "predict": (
        lambda w, out: [w.slide, "--model", w.bundle, *VALUES, "--out", out],
        lambda d: sum(d["results"][0]["runs"][0]["probabilities"].values()) == pytest.approx(1),
    ),
    "evaluate": (
        lambda w, out: [w.scores, "--bootstraps", 100, "--out", out],
        lambda d: d["tables"]["performance"][0]["n"] > 0,
    ),
    "evaluate-maps": (
        lambda w, out: [
            w.cohort,
            "--model",
            w.bundle,
            "--random-orders",
            1,
            "--bootstraps",
            100,
            "--out",
            out,
        ],
        lambda d: d["n_left_out"] == 0 and d["tables"],
    ),
    "interpret": (
        lambda w, out: [w.cohort, "--out", out],
        lambda d: d["tables"]["features"][0]["p"] == 1 / 3,
    ),
    "nuclei measure": (
        lambda w, out: [w.slide, "--labels", w.labels, "--out", out],
        lambda d: d["n_nuclei"] > 0 and d["area_mm2"] > 0,
    ),
    "nuclei contrast": (
        lambda w, out: [w.result, "--out", out],
        lambda d: {"feature", "effect", "p_adjusted"} <= set(d["features"][0]),
    ),
}
CODES = {"cohort check": 2}  # one slide of two patients


def commands(group, before=""):
    """Yield name and command of the whole tree."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


def test_every_command_takes_quiet_and_every_reading_one_json():
    every = {
        name: {flag for p in one.params for flag in p.opts}
        for name, one in commands(typer.main.get_command(app))
    }
    assert set(every) == set(READING) | MAKING  # a new command is sorted into one of the two
    for name, flags in every.items():
        assert {"--quiet", "-q"} <= flags, name
        assert ("--json" in flags) == (name in READING), name


def strict(text):
    """Parse JSON that knows no NaN."""

    def refuse(word):
        raise ValueError(word)

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize("name", READING)
def test_what_is_read_is_one_strict_document_and_nothing_else(call, world, tmp_path, monkeypatch, name):
    monkeypatch.setattr("napari_aln.workflows.doctor.examine", lambda: [Finding("Python", True, HOSTILE)])
    monkeypatch.setattr("napari_aln.workflows.interpretation.interpret.interpret", interpreted)
    arguments, holds = READING[name]
    code, out, err = call("--quiet", *name.split(), *arguments(world, tmp_path / "out"), "--json")
    assert (code, err) == (CODES.get(name, 0), "")
    assert holds(strict(out))
    assert re.search(r"[^\n -~]", out) is None


BAD = {
    "model show": ["no.alnmodel"],
    "model verify": ["no.alnmodel"],
    "verify": ["no"],
    "cohort check": ["no.csv"],
    "predict": ["no.svs", "--model", "no.alnmodel", "--out", "out"],
    "evaluate": ["no.csv", "--out", "out"],
    "evaluate-maps": ["no.csv", "--model", "no.alnmodel", "--out", "out"],
    "interpret": ["no.csv", "--out", "out"],
    "nuclei measure": ["no.svs", "--out", "out"],
    "nuclei contrast": ["no", "--out", "out"],
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_refused_says_so_on_stderr_and_nothing_on_stdout(call, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    code, out, err = call(*name.split(), *BAD[name], "--json", "--quiet")
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith("Error: ")
    assert "no" in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["predict", "nuclei contrast"])
def test_quietly_what_writes_files_says_their_place_alone(call, world, tmp_path, name):
    out = tmp_path / "öut"
    code, said, err = call(*name.split(), *READING[name][0](world, out), "-q")
    place = out / "case_1" if name == "predict" else out
    assert (code, said, err) == (0, f"{place}\n", "")
    assert place.is_dir()


def test_quietly_what_changes_a_result_is_still_said(call, world, tmp_path):
    whole = world.scores.read_text()
    (tmp_path / "s.csv").write_text(whole.replace("val", "test"))
    code, said, err = call("evaluate", tmp_path / "s.csv", "--bootstraps", 100, "--out", tmp_path / "o", "-q")
    assert (code, said) == (0, f"{tmp_path / 'o'}\n")
    assert "left out" in err
    slides = [tmp_path / "gone.svs", world.slide]
    asked = ["--model", world.bundle, *VALUES, "--private", "--out", tmp_path / "p"]
    code, said, err = call("-q", "predict", *slides, *asked, "--json")
    document = strict(said)
    assert (code, document["n_slides"], document["n_failed"], len(document["results"])) == (1, 2, 1, 1)
    assert "gone.svs" in err
    assert document["results"][0]["slide"]["file"] is None
    assert world.slide.stem not in said


def test_without_quiet_there_is_progress_also_after_a_quiet_call(call, world):
    assert call("cohort", "check", world.cohort, "-q")[2] == ""
    code, said, err = call("cohort", "check", world.cohort)
    assert (code, "patients" in said, "check" in err) == (2, True, True)


def test_numbers_that_are_none_become_null_and_nothing_reaches_the_terminal(capsys):
    output.print_json(
        {"a": [float("nan"), float("-inf"), 1 / 3], HOSTILE: Path("x"), "b": (None, Finding("c", True, "d"))}
    )
    text = capsys.readouterr().out
    document = strict(text)
    assert document["a"] == [None, None, 1 / 3]
    assert document[HOSTILE] == "x"
    assert document["b"][1]["piece"] == "c"
    assert re.search(r"[^\n -~]", text) is None
