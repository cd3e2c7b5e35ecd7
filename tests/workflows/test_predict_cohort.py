"""Cohorts: killed and gone on with, failures retried and named, one run at a time."""

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest
from cohort_runs import PATIENT, asked_of, draw_slides, let_decoders_die, listed_in, same
from tests_shared import collect, drain, write_slide

from napari_aln.cli import main
from napari_aln.errors import CohortError, StoreError, UsageError
from napari_aln.mil.bundle import open_bundle
from napari_aln.settings.prediction import CohortRunSettings
from napari_aln.slides import open_slide
from napari_aln.store.cohort_run import CUT_OFF, CohortFolder
from napari_aln.workflows.cohorts.local_crew import interrupts_held_back
from napari_aln.workflows.cohorts.predict_cohort import predict_cohort
from napari_aln.workflows.cohorts.slide_tasks import Predictor, request_sha256
from napari_aln.workflows.cohorts.tasks import TaskMaker, check_names, folder_of, list_slides
from napari_aln.workflows.predict import Request, predict_to_folder

N_SLIDES = 3
CLINICAL = ["--age", "61", "--tumor-size", "2.4", "--er", "+", "--pr", "-", "--her2", "-"]
RUN = """
import os, signal, sys
from pathlib import Path
import psutil
from cohort_runs import asked_of, listed_in
from napari_aln.settings.prediction import CohortRunSettings
from napari_aln.workflows.cohorts.predict_cohort import predict_cohort
if __name__ == "__main__":
    slides, bundle, out = map(Path, sys.argv[1:4])
    for step in predict_cohort(listed_in([slides], out), asked_of(bundle, out), CohortRunSettings()):
        workers = [one for one in psutil.Process().children() if "spawn_main" in str(one.cmdline())]
        # so many are done, the next goes on; a worker that was just begun goes by another name at first
        if step.done == int(sys.argv[4]) and "tif" in step.step and workers:
            print(workers[0].pid, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cohort") / "slides"
    draw_slides(folder, N_SLIDES)
    return folder


@pytest.fixture
def bad_decoders(tmp_path, monkeypatch):
    let_decoders_die(tmp_path, monkeypatch)


def kill_run(tmp_path, slides, bundle, out, n_done):
    """Kill a run once so many slides are done and another one is begun; return its worker's process."""
    (tmp_path / "run.py").write_text(RUN)
    command = [sys.executable, tmp_path / "run.py", slides, bundle, out, n_done]
    here = Path(__file__).parent
    paths = [str(here.parent), str(here), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    with (tmp_path / "said").open("w") as said:  # a pipe would wait for a worker that does not end
        done = subprocess.run(list(map(str, command)), stdout=said, stderr=said, env=environment, check=False)
    text = (tmp_path / "said").read_text()
    assert done.returncode == -signal.SIGKILL, text
    return int(text.splitlines()[-1])


def end_with_run(worker):
    if psutil.pid_exists(worker):
        psutil.Process(worker).wait(timeout=30)


def states_in(out):
    return [json.loads(path.read_bytes()) for path in (out / ".cohort" / "slides").iterdir()]


def rows_in(out):
    with (out / "cohort.csv").open(newline="", encoding="utf-8-sig") as stream:
        return list(csv.DictReader(stream))


def told_as_json(command, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["napari-aln", *map(str, command), "--json"])
    with pytest.raises(SystemExit):
        main()
    return json.loads(capsys.readouterr().out)


@pytest.mark.slow
def test_a_killed_run_is_gone_on_with_and_nothing_is_done_twice(slides, ws_bundle, tmp_path):
    out = tmp_path / "out"
    end_with_run(kill_run(tmp_path, slides, ws_bundle, out, n_done=1))

    finished = {path.parent.name: path.stat().st_mtime_ns for path in out.glob("*/result.json")}
    assert 1 <= len(finished) < N_SLIDES
    steps, found = collect(
        predict_cohort(listed_in([slides], out), asked_of(ws_bundle, out), CohortRunSettings())
    )
    assert (found.n_slides, found.n_kept, found.failed) == (N_SLIDES, len(finished), ())
    assert steps[-1].done == N_SLIDES
    for name, made in finished.items():
        assert (out / name / "result.json").stat().st_mtime_ns == made
    states = states_in(out)
    assert [state["state"] for state in states] == ["done"] * N_SLIDES
    cut_off = [one for state in states for one in state["attempts"] if one["cause"] == CUT_OFF]
    assert len(cut_off) == 1
    assert sum(len(state["attempts"]) for state in states) == 2 + N_SLIDES - len(finished)
    assert not list(out.glob("*.incomplete"))

    serial = Predictor(asked_of(ws_bundle, tmp_path / "serial"))
    for one in listed_in([slides], tmp_path / "serial"):
        _, place = drain(serial.run(one.task))
        assert same(place, out / place.name)


def test_a_worker_in_the_midst_of_a_slide_ends_with_its_run(ws_bundle, bad_decoders, tmp_path):
    (tmp_path / "stuck.tif").write_bytes(b"II*\0")
    end_with_run(kill_run(tmp_path, tmp_path / "stuck.tif", ws_bundle, tmp_path / "out", n_done=0))


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="Windows has no signal masks")
def test_a_process_that_starts_does_not_hear_ctrl_c():
    asked = "import signal; print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))"
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    with interrupts_held_back():
        said = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "True"
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before


def test_what_fails_is_tried_again_and_named_first(
    slides, ws_bundle, bad_decoders, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("NO_NETWORK", "1")
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("a connection was opened"))
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    (mixed / "a.tif").hardlink_to(slides / "slide 0.tif")
    (mixed / "crash.tif").hardlink_to(slides / "slide 1.tif")
    (mixed / "=cmd.svs").write_text("no slide")
    out = tmp_path / "out"
    command = ["predict", mixed, "--model", ws_bundle, *CLINICAL, "--out", out, "--workers", "2"]
    monkeypatch.setattr(sys, "argv", ["napari-aln", *map(str, command)])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 1
    captured = capsys.readouterr()
    assert "1 of 3 slides" in captured.out
    assert "2 of 3 slides failed" in captured.err
    rows = rows_in(out)
    assert [row["state"] for row in rows[:3]] == ["failed", "failed", "done"]
    by_name = {row["slide"]: row for row in rows[:3]}
    assert "SIGSEGV" in by_name["crash.tif"]["cause"]
    assert "not a slide of a known type" in by_name["'=cmd.svs"]["cause"]  # no formula
    assert [row["attempts"] for row in rows[:3]] == ["2", "2", "1"]
    assert float(by_name["a.tif"]["dlcnbc-ws p N0"]) + float(by_name["a.tif"]["dlcnbc-ws p N(+)"]) == (
        pytest.approx(1)
    )
    assert rows[3]["slide"] == "Research use only. Not a diagnosis."
    page = (out / "cohort.html").read_text(encoding="utf-8")
    assert page.index("SIGSEGV") < page.index('href="a/report.html"')
    assert "Research use only" in page
    made_by = json.loads((out / "cohort.json").read_bytes())
    card = open_bundle(ws_bundle).card
    assert made_by["slides"] == {"all": 3, "failed": 2, "not done": 0, "done": 1}
    assert [model["sha256"] for model in made_by["models"]] == [card.weights_sha256]
    assert made_by["settings"]["bags"]["seed"] == 0
    assert made_by["versions"]["napari-aln"]
    assert {"processor", "system"} <= set(made_by["machine"])
    assert card.weights_sha256[:12] in page
    with open_slide(mixed / "a.tif") as slide:
        assert by_name["a.tif"]["slide_quick_hash"] == slide.info.quick_hash
    assert [by_name["a.tif"][name] for name in ("mpp_x", "mpp_y", "mpp_origin")] == ["0.5", "0.5", "file"]
    failed = [state for state in states_in(out) if state["state"] == "failed"]
    attempts = [one for state in failed for one in state["attempts"]]
    assert len(attempts) == 4
    assert all(one["cause"] and one["next_step"] for one in attempts)

    for name in ("crash.tif", "=cmd.svs"):
        (mixed / name).unlink()
    (told,) = told_as_json(command, monkeypatch, capsys)["results"]
    assert (told["name"], told["state"], told["folder"]) == ("a.tif", "done", str(out / "a"))
    result = json.loads((out / "a" / "result.json").read_bytes())
    ((run,), (line,)) = result["runs"], told["runs"]
    assert {"mode", "probabilities", "prediction"} <= set(line)
    assert line == {name: run[name] for name in line}
    assert told["slide"] == {name: result["slide"][name] for name in told["slide"]}


def test_a_private_cohort_as_json_names_no_file(ws_bundle, tmp_path, monkeypatch, capsys):
    (tmp_path / "JANE_DOE").mkdir()
    table = tmp_path / "JANE_DOE" / "doe.csv"
    table.write_text("patient_id,slide,age_years\n07,,50\n", encoding="utf-8")
    command = ["predict", table, "--model", ws_bundle, "--out", tmp_path / "out", "--private"]
    (failed,) = told_as_json(command, monkeypatch, capsys)["results"]
    assert (failed["name"], failed["state"], failed["attempts"]) == ("slide 1", "failed", 0)
    assert "the terminal says what" in failed["cause"]
    assert "Correct its line" in failed["next_step"]
    assert (failed["folder"], failed["slide"], failed["runs"]) == (None, None, [])
    assert (failed["patient_id"], "doe" in json.dumps(failed).casefold()) == ("", False)


def test_a_slide_that_hangs_is_given_up(ws_bundle, bad_decoders, tmp_path):
    (tmp_path / "stuck.tif").write_bytes(b"II*\0")
    out = tmp_path / "out"
    stubborn = CohortRunSettings(retries=0, stall_minutes=0.02)
    found = drain(
        predict_cohort(listed_in([tmp_path / "stuck.tif"], out), asked_of(ws_bundle, out), stubborn)
    )
    assert "got no further for 0.02 minutes" in found.failed[0][1]
    assert not [one for one in psutil.Process().children() if "spawn_main" in " ".join(one.cmdline())]


def test_a_process_is_replaced_after_its_share_of_slides(ws_bundle, tmp_path, monkeypatch):
    monkeypatch.setattr("napari_aln.workflows.cohorts.local_crew._SLIDES_A_PROCESS", 2)
    broken = [tmp_path / f"{i}.tif" for i in range(3)]
    for path in broken[1:]:
        path.write_text("no slide")
    out = tmp_path / "out"
    run = CohortRunSettings(retries=0)
    drain(predict_cohort(listed_in(broken, out), asked_of(ws_bundle, out), run))
    workers = [state["attempts"][0]["worker"] for state in states_in(out)]
    assert sorted(workers.count(name) for name in set(workers)) == [1, 2]
    page = (out / "cohort.html").read_text(encoding="utf-8")
    assert '<td class="number">2</td><td>Give a file that opens in another viewer' in page
    assert page.index("what to do") < page.index("not a slide of a known type")


def test_private_runs_name_no_file(ws_bundle, tmp_path):
    (tmp_path / "DOE_JANE").mkdir()
    path = tmp_path / "DOE_JANE" / "doe-1961.svs"
    path.write_text("no slide")
    out = tmp_path / "out"
    asked = asked_of(ws_bundle, out, private=True)
    found = drain(predict_cohort(listed_in([path], out), asked, CohortRunSettings(retries=0)))
    assert "doe-1961.svs" in found.failed[0][1]  # on the terminal
    written = [one for one in out.rglob("*") if one.is_file()]
    assert len(written) >= 3
    for one in written:
        text = one.read_text(encoding="utf-8").casefold()
        assert "doe" not in text, one
        assert "doe" not in one.name.casefold()
    assert rows_in(out)[0]["slide"] == "slide 1"


@pytest.mark.slow
def test_in_private_mode_a_copy_of_a_slide_is_told_as_such(slides, ws_bundle, tmp_path):
    for name in ("a.tif", "b.tif"):
        (tmp_path / name).write_bytes((slides / "slide 0.tif").read_bytes())
    out = tmp_path / "out"
    listed = listed_in([tmp_path / "a.tif", tmp_path / "b.tif"], out)
    asked = asked_of(ws_bundle, out, private=True)
    found = drain(predict_cohort(listed, asked, CohortRunSettings(retries=0)))
    ((path, why),) = found.failed
    assert path.name == "b.tif"
    assert "the same content as slide 1" in why
    assert [row["state"] for row in rows_in(out)] == ["failed", "done", ""]


def test_a_second_run_on_the_same_folder_is_told_of_the_first(ws_bundle, tmp_path):
    path = tmp_path / "one.tif"
    path.write_text("never looked at")
    out = tmp_path / "out"
    with (
        CohortFolder(out).locked(),
        pytest.raises(StoreError, match=f"Another run.*process {os.getpid()} on"),
    ):
        drain(predict_cohort(listed_in([path], out), asked_of(ws_bundle, out), CohortRunSettings()))
    assert not (out / "cohort.csv").exists()


def test_a_changed_question_is_answered_anew(slides, ws_bundle, tmp_path):
    out = tmp_path / "out"
    asked = asked_of(ws_bundle, out)
    models = Predictor(asked).models

    def hash_of(**given):
        return request_sha256(listed_in([slides], out, **given)[0].task, asked, models)

    roi = tmp_path / "slide 0.geojson"
    roi.write_text("{}")
    first = hash_of(roi=roi)
    assert first == hash_of(roi=roi) != hash_of()
    roi.write_text("{ }")
    assert hash_of(roi=roi) != first
    assert hash_of() != hash_of(mpp=0.5)


def test_a_folder_of_rois_is_looked_through_once(tmp_path, monkeypatch):
    rois = tmp_path / "rois"
    rois.mkdir()
    slides = [tmp_path / f"{i}.ndpi" for i in range(5)]
    for i in range(4):
        (rois / f"{i}.geojson").touch()
    (rois / "0.ndpi.ndpa").touch()
    (rois / "3.txt").touch()
    listings = []
    whole = Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda self: listings.append(self) or whole(self))
    several, one, *_, none = [one.task for one in listed_in(slides, tmp_path / "out", roi=rois)]
    assert "several region files for 0.ndpi" in str(several)
    assert one.roi == rois / "1.geojson"
    assert none.roi is None
    assert listings.count(rois) == 1


def test_a_table_lists_slides_with_what_it_says_of_them(slides, tmp_path):
    table = tmp_path / "cohort.csv"
    table.write_text(
        "patient_id,slide,age_years,mpp\n"
        f"07,{slides / 'slide 0.tif'},50,0.5\n07,{slides / 'slide 1.tif'},50,\n"
        f"8,{slides / 'slide 2.tif'},,\n9,,40,\n",
        encoding="utf-8",
    )
    listed, is_cohort = list_slides([table], TaskMaker(), tmp_path / "out")
    assert is_cohort
    first, second, third, none = listed
    assert [one.task.patient_id for one in (first, second, third)] == ["07", "07", "8"]
    assert (first.task.mpp, second.task.mpp) == (0.5, None)
    assert first.task.clinical.age_years == 50
    assert isinstance(none.task, CohortError)
    assert "no slide of patient 9" in str(none.task)
    both, _ = list_slides([table, slides], TaskMaker(), tmp_path / "out")
    assert len(both) == len(listed)  # none twice
    with pytest.raises(UsageError, match=r"cohort.csv would be overwritten"):
        list_slides([table], TaskMaker(), tmp_path)
    with pytest.raises(UsageError, match="beside the cohort table"):
        list_slides([table], TaskMaker(clinical=PATIENT), tmp_path / "out")


def test_a_slide_that_may_not_be_looked_at_stops_no_other(slides, tmp_path):
    table = tmp_path / "cohort.csv"
    hidden = tmp_path / ("x" * 300) / "far.svs"  # asking for it is an error, as in a folder without access
    table.write_text(f"patient_id,slide\n1,{slides / 'slide 0.tif'}\n2,{hidden}\n")
    listed, _ = list_slides([table], TaskMaker(), tmp_path / "out")
    check_names(listed, private=False)
    assert [folder_of(one.task, private=False) for one in listed] == ["slide_0", "far"]


def test_a_case_id_names_results_in_private_mode_and_nothing_else_does(slides, ws_bundle, tmp_path):
    table = tmp_path / "cohort.csv"
    table.write_text(
        "patient_id,case_id,slide\n"
        f"Doe,A 1,{slides / 'slide 0.tif'}\nDoe,A 1,{slides / 'slide 1.tif'}\n"
        f"Roe,,{slides / 'slide 2.tif'}\nPoe,A 3,\n",
        encoding="utf-8",
    )
    listed, _ = list_slides([table], TaskMaker(), tmp_path / "out")
    assert [one.case_id for one in listed] == ["A 1-1", "A 1-2", None, "A 3"]
    assert [folder_of(one.task, private=True) for one in listed] == ["A_1-1", "A_1-2", None, None]
    check_names(listed, private=True)
    table.write_text(
        f"patient_id,case_id,slide\nDoe,a,{slides / 'slide 0.tif'}\nRoe,A,{slides / 'slide 1.tif'}\n"
    )
    twins, _ = list_slides([table], TaskMaker(), tmp_path / "out")
    check_names(twins, private=False)
    with pytest.raises(UsageError, match="case_id of its own"):
        check_names(twins, private=True)

    out, asked = tmp_path / "out", asked_of(ws_bundle, tmp_path / "out", private=True)
    with open_slide(slides / "slide 0.tif") as slide:
        result, place = drain(
            predict_to_folder(
                slide, Request([open_bundle(ws_bundle)], clinical=PATIENT, case_id="A 1"), out, private=True
            )
        )
    assert (result.alias, place.name) == ("A_1", "A_1")
    assert request_sha256(listed[0].task, asked, ()) != request_sha256(listed[1].task, asked, ())


def test_a_slide_given_twice_is_told_so(slides):
    listed, _ = list_slides([slides / "slide 0.tif"] * 2, TaskMaker(), slides.parent / "out")
    with pytest.raises(UsageError, match=r"slide 0\.tif was given 2 times\. Name each slide once"):
        check_names(listed, private=False)


def test_results_of_a_run_are_no_slides_and_names_must_differ(slides, tmp_path):
    (tmp_path / "more").mkdir()
    twin = write_slide(tmp_path / "more" / "slide 0.tif", np.zeros((300, 300, 3), np.uint8))
    out = tmp_path / "more" / "out"
    (out / "slide_9.0badcafe-1-0badcafe.incomplete").mkdir(parents=True)
    (out / "slide_9.0badcafe-1-0badcafe.incomplete" / "heatmap-dlcnbc-ws.tif").write_bytes(b"II*\0")
    listed, is_cohort = list_slides([tmp_path / "more"], TaskMaker(), out)
    assert is_cohort
    assert [one.path for one in listed] == [twin]
    listed, _ = list_slides([tmp_path / "more", slides], TaskMaker(), out)
    with pytest.raises(UsageError, match=r"slide_0 and overwrite.*--private"):
        check_names(listed, private=False)
    check_names(listed, private=True)
