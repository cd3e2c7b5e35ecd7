"""The command line as a user meets it: exit codes, one clear line for what is wrong, never a traceback."""

import json
import os
import re
import subprocess
import sys
from importlib.metadata import version

import numpy as np
import pytest
from PIL import Image
from refusals import refused
from tests_shared import draw_tissue

from napari_aln.mil.bundle import open_bundle

CLINICAL = ["--age", "61", "--tumor-size", "2.4", "--er", "+", "--pr", "-", "--her2", "-"]
AS_IN_TABLES = ["--age", "61", "--tumor-size", "2,4", "--er", "Positive", "--pr", "neg", "--her2", "1+"]


def test_predict_writes_a_result_folder(call, tissue_slide, roi_bundle, ws_bundle, roi_file, tmp_path):
    models = ["--model", roi_bundle, ws_bundle]  # the second stands among the slides, and is taken as a model
    code, out, _ = call(
        "predict", tissue_slide, *models, "--roi", roi_file, *AS_IN_TABLES, "--out", tmp_path / "o"
    )
    assert code == 0
    assert "DLCNBC-WS" in out
    assert "Research use only" in out
    result = json.loads((tmp_path / "o" / "case_1" / "result.json").read_text(encoding="utf-8"))
    assert [run["mode"] for run in result["runs"]] == ["dlcnbc", "dlcnbc-ws"]
    assert result["runs"][0]["clinical"] == {
        "age_years": 61.0,
        "tumor_size_cm": 2.4,
        "er": True,
        "pr": False,
        "her2": False,
    }


def test_one_bad_slide_of_two_is_named_and_the_other_done(call, tissue_slide, ws_bundle, tmp_path):
    bad = tmp_path / "zero.svs"
    bad.touch()
    out = tmp_path / "o"
    code, _, err = call("predict", bad, tissue_slide, "--model", ws_bundle, *CLINICAL, "--out", out)
    assert code == 1
    assert "1 of 2 slides failed" in err
    assert "zero.svs" in err
    assert (out / "case_1" / "result.json").is_file()
    assert not (out / "zero").exists()


def test_clinical_values_from_a_table(call, tissue_slide, ws_bundle, tmp_path):
    table = tmp_path / "cohort.csv"
    table.write_text("patient_id,slide,age_years,tumor_size_cm,er,pr,her2\nP7,case 1.tif,50,2.0,+,+,-\n")
    arguments = ["--model", ws_bundle, "--clinical", table, "--out", tmp_path / "o"]
    code, _, _ = call("predict", tissue_slide, *arguments, "--private")
    assert code == 0
    (place,) = (tmp_path / "o").iterdir()
    assert place.name.startswith("slide-")  # private: named by neither the patient nor the file
    assert json.loads((place / "result.json").read_bytes())["runs"][0]["clinical"]["age_years"] == 50
    refused(call("predict", tissue_slide, *arguments, "--age", "50"), "both given")


class TestWrongInput:
    @pytest.fixture
    def predict(self, call, ws_bundle, tmp_path):
        def run(slide, *more, model=ws_bundle, clinical=CLINICAL, out=tmp_path / "o"):
            return call("predict", slide, "--model", model, *clinical, "--out", out, *more)

        return run

    def test_missing_slide(self, predict, tmp_path):
        refused(predict(tmp_path / "nowhere.svs"), "nowhere.svs")

    def test_zero_byte_slide(self, predict, tmp_path):
        (tmp_path / "zero.svs").touch()
        refused(predict(tmp_path / "zero.svs"), "zero.svs")

    def test_text_named_as_slide(self, predict, tmp_path):
        (tmp_path / "notes.svs").write_text("these are my notes")
        refused(predict(tmp_path / "notes.svs"), "notes.svs")

    @pytest.mark.parametrize("share", [0.3, 0.9])
    def test_truncated_slide(self, predict, tissue_slide, tmp_path, share):
        whole = tissue_slide.read_bytes()
        (tmp_path / "cut.tif").write_bytes(whole[: int(len(whole) * share)])
        refused(predict(tmp_path / "cut.tif"), "cut.tif")

    def test_empty_folder(self, predict, tmp_path):
        (tmp_path / "dicom").mkdir()
        refused(predict(tmp_path / "dicom"), "dicom")

    def test_no_mpp_then_given(self, predict, tmp_path):
        Image.fromarray(draw_tissue(np.random.default_rng(1))).save(tmp_path / "core.jpg", quality=90)
        refused(predict(tmp_path / "core.jpg"), "core.jpg", "--mpp")
        code, _, _ = predict(tmp_path / "core.jpg", "--mpp", "0.5")
        assert code == 0

    @pytest.mark.parametrize("mpp", ["352", "0", "-1", "nan"])
    def test_impossible_mpp(self, predict, tissue_slide, mpp):
        refused(predict(tissue_slide, "--mpp", mpp), "µm/px")

    def test_missing_bundle(self, predict, tissue_slide, tmp_path):
        refused(predict(tissue_slide, model=tmp_path / "none.alnmodel"), "none.alnmodel")

    def test_pickle_in_disguise(self, predict, tissue_slide, tmp_path):
        import torch

        torch.save({"a": torch.zeros(2)}, tmp_path / "model.alnmodel")
        refused(predict(tissue_slide, model=tmp_path / "model.alnmodel"), "model.alnmodel", "pickle")

    def test_region_file_of_another_kind(self, predict, tissue_slide, roi_bundle, tmp_path):
        (tmp_path / "roi.geojson").write_text("{}")
        refused(predict(tissue_slide, "--roi", tmp_path / "roi.geojson", model=roi_bundle), "roi.geojson")

    def test_missing_region_file(self, predict, tissue_slide, roi_bundle, tmp_path):
        refused(predict(tissue_slide, "--roi", tmp_path / "no.geojson", model=roi_bundle), "no.geojson")

    def test_missing_clinical_value(self, predict, tissue_slide):
        refused(predict(tissue_slide, clinical=["--age", "50"]), "tumour size", "--fill-clinical")

    def test_an_equivocal_score_is_said_to_be_taken_as_unknown(self, predict, tissue_slide):
        outcome = predict(tissue_slide, clinical=[*CLINICAL[:-1], "2+"])
        refused(outcome, "HER2", "--fill-clinical")
        assert "--her2 2+ is equivocal and taken as unknown." in outcome[2]

    def test_clinical_value_out_of_range(self, predict, tissue_slide):
        refused(predict(tissue_slide, clinical=["--age", "-3", *CLINICAL[2:]]), "--age: '-3'")

    def test_clinical_value_of_no_meaning(self, predict, tissue_slide):
        refused(predict(tissue_slide, clinical=[*CLINICAL[:-1], "5+"]), "--her2: '5+'", "'+', '-' or")

    def test_output_below_a_file(self, predict, tissue_slide, tmp_path):
        (tmp_path / "file").touch()
        refused(predict(tissue_slide, out=tmp_path / "file" / "out"), "file")

    def test_output_that_is_something_else(self, predict, tissue_slide, tmp_path):
        (tmp_path / "o" / "case_1").mkdir(parents=True)
        (tmp_path / "o" / "case_1" / "thesis.txt").touch()
        refused(predict(tissue_slide), "case_1", "not a result")
        assert (tmp_path / "o" / "case_1" / "thesis.txt").exists()

    def test_setting_out_of_bounds(self, predict, tissue_slide):
        refused(predict(tissue_slide, "--min-entropy-bits", "9"), "--min-entropy-bits")
        code, _, err = predict(tissue_slide, "--device", "abacus")
        assert (code, "--device" in err, "Traceback" in err) == (2, True, False)

    def test_cuda_where_there_is_none(self, predict, tissue_slide):
        import torch

        if torch.cuda.is_available():
            pytest.skip("this machine has CUDA")
        refused(predict(tissue_slide, "--device", "cuda"), "CUDA")

    def test_slides_of_one_name(self, call, tissue_slide, ws_bundle, tmp_path):
        models = ["--model", ws_bundle, "--out", tmp_path / "o"]
        twin = tmp_path / tissue_slide.name
        twin.hardlink_to(tissue_slide)
        refused(call("predict", tissue_slide, twin, *models), "case_1", "--private")
        refused(call("predict", tissue_slide, tissue_slide, *models), "given 2 times", "once")


def test_disk_full_leaves_nothing_that_looks_whole(call, tissue_slide, ws_bundle, tmp_path, monkeypatch):
    import errno

    from napari_aln.workflows.results import deliver

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(deliver, "write_heatmap", full)
    out = tmp_path / "o"
    refused(call("predict", tissue_slide, "--model", ws_bundle, *CLINICAL, "--out", out), "disk is full")
    assert list(out.iterdir()) == []


def test_ctrl_c_ends_with_a_word_and_keeps_what_was_read(
    call, tissue_slide, ws_bundle, tmp_path, monkeypatch
):
    from napari_aln.workflows.slide import extract

    monkeypatch.setattr(extract, "SECONDS_BETWEEN_PARTS", 0.0)
    read = extract.decoded

    def interrupted(*arguments, **options):
        for count, chunk in enumerate(read(*arguments, **options)):
            if count == 2:
                raise KeyboardInterrupt
            yield chunk

    monkeypatch.setattr(extract, "decoded", interrupted)
    where = ["--cache-dir", tmp_path / "c", "--batch", "4"]
    code, _, err = call(
        "predict", tissue_slide, "--model", ws_bundle, *CLINICAL, "--out", tmp_path / "o", *where
    )
    assert code == 130
    assert "Cancelled" in err
    assert list((tmp_path / "o").iterdir()) == []
    assert "1 entry" in call("cache", "info", "--cache-dir", tmp_path / "c")[1]


def test_a_cancelled_run_promises_nothing_where_nothing_is_kept(
    call, tissue_slide, roi_bundle, roi_file, tmp_path, monkeypatch
):
    from napari_aln.workflows.slide import bagwise

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(bagwise, "read_resampled", interrupted)
    asked = ["--model", roi_bundle, *CLINICAL, "--roi", roi_file, "--roi-patching", "reference"]
    code, _, err = call("predict", tissue_slide, *asked, "--out", tmp_path / "o")
    assert (code, "Cancelled." in err, "is kept" in err) == (130, True, False)


def test_regions_of_several_slides_come_from_a_folder(call, tissue_slide, roi_bundle, roi_file, tmp_path):
    folder = tmp_path / "regions"
    folder.mkdir()
    arguments = ["--model", roi_bundle, *CLINICAL, "--roi", folder, "--out", tmp_path / "o"]
    refused(call("predict", tissue_slide, *arguments), "no region file for case 1.tif")
    (folder / "case 1.geojson").write_text(roi_file.read_text())
    assert call("predict", tissue_slide, *arguments)[0] == 0


def test_a_folder_of_regions_that_fit_no_slide_is_told(call, ws_bundle, roi_bundle, tmp_path):
    folder, slides = tmp_path / "regions", [tmp_path / "a.svs", tmp_path / "b.svs"]
    folder.mkdir()
    (folder / "c.geojson").touch()
    asked = ["predict", *slides, "--roi", folder, *CLINICAL, "--out", tmp_path / "o"]
    told = "regions holds no region file of any slide given"
    code, _, err = call(*asked, "--model", ws_bundle)
    assert (code, err.count(told)) == (1, 1)
    assert "no region file of any" not in call(*asked, "--model", roi_bundle)[2]  # each slide's error says so
    (folder / "b.geojson").touch()
    assert told not in call(*asked, "--model", ws_bundle)[2]


def test_text_from_files_is_never_markup(call, tissue_slide, make_bundle, tmp_path):
    bundle = make_bundle("dlcnbc-ws", name="three [/x] way [red]")
    code, out, _ = call("model", "show", bundle)
    assert (code, "three [/x] way [red]" in out) == (0, True)
    code, out, _ = call("predict", tissue_slide, "--model", bundle, *CLINICAL, "--out", tmp_path / "o")
    assert (code, "[/x]" in out) == (0, True)


def test_a_slide_takes_only_the_region_file_of_its_own_name(
    call, tissue_slide, roi_bundle, roi_file, tmp_path
):
    folder = tmp_path / "regions"
    folder.mkdir()
    arguments = [
        "predict",
        tissue_slide,
        "--model",
        roi_bundle,
        *CLINICAL,
        "--roi",
        folder,
        "--out",
        tmp_path / "o",
    ]
    (folder / "case 1.2.geojson").write_text(roi_file.read_text())
    refused(call(*arguments), "no region file for case 1.tif")
    for suffix in (".json", ".geojson"):
        (folder / f"case 1{suffix}").write_text(roi_file.read_text())
    refused(call(*arguments), "several region files")


def test_cache_commands(call, tissue_slide, ws_bundle, tmp_path):
    where = ["--cache-dir", tmp_path / "c"]
    call("predict", tissue_slide, "--model", ws_bundle, *CLINICAL, "--out", tmp_path / "o", *where)
    code, out, _ = call("cache", "info", *where)
    assert code == 0
    assert re.search(r"features: 1 entry, [1-9][\d.]* k?B\n  \w+ +[1-9][\d.]* k?B  last used", out)
    code, out, _ = call("cache", "clear", *where)
    assert (code, "Freed" in out) == (0, True)
    assert "0 entries" in call("cache", "info", *where)[1]
    kept = tmp_path / "c" / "training-patches" / "entry"
    kept.mkdir(parents=True)
    (kept / "pixels.u8").write_bytes(bytes(3_000_000))
    assert "1 slide, 3.0 MB" in call("cache", "info", *where)[1]
    assert "Freed 0 bytes." in call("cache", "clear", *where)[1]
    assert "Freed 3.0 MB" in call("cache", "clear", "--training", *where)[1]
    assert not kept.exists()


def test_the_version_is_said_and_no_window_opens(call):
    assert call("--version")[:2] == (0, f"napari-aln {version('napari-aln')}\n")


def test_doctor_names_what_is_here(call, monkeypatch):
    monkeypatch.setattr("napari_aln.workflows.doctor.LEAST_MEMORY_GB", 10**6)
    code, out, _ = call("doctor", "--json")
    found = {finding["piece"]: finding for finding in json.loads(out)}
    assert {"OpenSlide", "torchvision", "memory", "disk", "this folder", "feature cache"} <= set(found)
    assert not found["memory"]["ok"]
    assert found["memory"]["next_step"]
    assert code == (0 if all(f["ok"] or not f["required"] for f in found.values()) else 1)


def test_doctor_says_where_nothing_can_be_written(call, monkeypatch, tmp_path):
    blocker = tmp_path / "blocker"
    blocker.write_text("a file where a folder should be")
    monkeypatch.setenv("NAPARI_ALN_CACHE", str(blocker))
    code, out, _ = call("doctor")
    assert "NAPARI_ALN_CACHE" in out
    assert code == 1


@pytest.mark.parametrize("command", ["show", "verify"])
def test_what_is_read_of_a_bundle_is_given_as_json(call, ws_bundle, command):
    code, out, _ = call("model", command, ws_bundle, "--json")
    assert code == 0
    assert json.loads(out)["name"] == open_bundle(ws_bundle).card.name


def test_the_cache_is_told_as_json(call, tmp_path):
    code, out, _ = call("cache", "info", "--cache-dir", tmp_path, "--json")
    assert code == 0
    assert [(kept["entries"], kept["bytes"]) for kept in json.loads(out)] == [(0, 0)] * 3


@pytest.mark.parametrize(
    "statement", ["import napari_aln", "from napari_aln.cli.app import app; app(['--help'])"]
)
def test_help_and_import_load_nothing_heavy(statement):
    heavy = "['torch', 'openvino', 'qtpy', 'PySide6', 'napari', 'pandas', 'matplotlib']"
    loaded = f"[m for m in {heavy} if m in sys.modules]"
    code = f"import sys\ntry:\n  {statement}\nexcept SystemExit: pass\nprint({loaded})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_library_shows_what_it_offers():
    import napari_aln

    assert {"open_slide", "predict", "nuclei", "evaluation"} <= set(dir(napari_aln))
    assert napari_aln.nuclei.segment.__doc__
    assert napari_aln.evaluation.auc_interval.__doc__


def test_a_shell_completes_commands_flags_and_choices_and_leaves_files_to_itself():
    lines = {
        "model sh": ["show"],
        "-q cohort s": ["synthesize", "split"],
        "predict a.svs --fill": ["--fill-clinical"],
        "train --mode dlcnbc": ["dlcnbc", "dlcnbc-ws"],
        "predict a": [],  # nothing of the program's: the shell offers files
        "model show a": [],
        "predict a.svs --model a": [],
    }
    code = (
        "import os, sys\n"
        "from napari_aln.cli.app import app\n"
        f"for line in {list(lines)!r}:\n"
        "  words = f'napari-aln {line}'\n"
        "  os.environ.update(COMP_WORDS=words, COMP_CWORD=str(words.count(' ')))\n"
        "  try: app(prog_name='napari-aln')\n"
        "  except SystemExit: print('.')\n"
        "print([m for m in ('torch', 'openvino', 'qtpy', 'napari', 'pandas', 'numpy') if m in sys.modules])"
    )
    environment = os.environ | {"_NAPARI_ALN_COMPLETE": "complete_bash"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    *found, heavy = done.stdout.split(".\n")
    assert [one.split() for one in found] == list(lines.values())
    assert heavy == "[]\n"


def test_a_run_from_the_cache_loads_neither_torch_nor_pandas(call, tissue_slide, ws_bundle, tmp_path):
    words = ["predict", str(tissue_slide), "--model", str(ws_bundle), *CLINICAL]
    code, said, errors = call(*words, "--out", str(tmp_path / "first"))
    assert code == 0, f"{said}\n{errors}"
    script = (
        "import sys; from napari_aln.cli import main\n"
        f"sys.argv = {['napari-aln', *words, '--out', str(tmp_path / 'again')]}\n"
        "try: main()\n"
        "finally: print([m for m in ('torch', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
