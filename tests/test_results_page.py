"""The page of measured speed, and what is left out of a comparison. Measures nothing itself."""

import json
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent / "benchmarks"))
import bench_peers
import results_page
from bench_curves import slope
from stored import RESULTS


def texts(svg):
    return [element.text for element in ElementTree.fromstring(svg).iter() if element.tag.endswith("}text")]


def test_the_page_and_its_figures_are_what_the_stored_results_give():
    stored = results_page.documents()
    assert results_page.PAGE.read_text(encoding="utf-8") == results_page.page(stored)
    drawn = results_page.figures(stored)
    assert {file.name for file in RESULTS.glob("*.svg")} == set(drawn)
    for name, svg in drawn.items():  # where lines lie depends on matplotlib's version
        assert texts((RESULTS / name).read_text(encoding="utf-8")) == texts(svg)


def test_the_readme_says_what_was_measured():
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    assert results_page.headline(results_page.documents()) in readme


def test_targets_are_judged_by_the_figures():
    document = json.loads((RESULTS / "encoder-1-core.json").read_text(encoding="utf-8"))
    for row in document["figures"]:
        ours = row["contender"].startswith("napari-aln")
        row["patches_per_s"] = (
            {"napari-aln, fp32": 8.0, "napari-aln, bf16": 15.9}[row["contender"]] if ours else 2.0
        )
    page = results_page.page({"encoder-1-core": document})
    assert "| napari-aln, fp32 over naive loop | >= 4 x | 4.00 x" in page
    judged = {line.split(" | ")[0]: line for line in page.splitlines() if " over naive loop " in line}
    assert judged["| napari-aln, fp32 over naive loop"].endswith("| met |")
    assert judged["| napari-aln, bf16 over naive loop"].endswith("| **missed** |")
    assert page.count("*not measured yet*") == 5  # two slides, curves, what-if, nuclei
    assert "**Unmeasured.** No GPU" in page


def test_no_result_names_a_computer_or_a_place():
    for file in RESULTS.glob("*.json"):
        document = json.loads(file.read_text(encoding="utf-8"))
        assert set(document["machine"]) == {"system", "processor", "instructions", "cores", "memory"}
        assert "/" not in json.dumps([document["machine"], document["settings"], document["versions"]])


def test_a_peer_that_is_absent_is_left_out_and_the_reason_is_said(tmp_path, capsys):
    here = {contender.name for contender in bench_peers.present(bench_peers.CONTENDERS, None)}
    assert here == {"naive loop", "napari-aln, fp32", "napari-aln, bf16"}
    assert "TIAToolbox is left out: no folder of peers was given" in capsys.readouterr().out

    hollow = tmp_path / "wsinfer" / ("Scripts" if sys.platform == "win32" else "bin")
    hollow.mkdir(parents=True)
    python = hollow / ("python.exe" if sys.platform == "win32" else "python")
    try:
        python.symlink_to(sys.executable)
    except OSError:
        pytest.skip("links cannot be made here")
    wsinfer = next(contender for contender in bench_peers.CONTENDERS if contender.name == "WSInfer")
    lazyslide = next(contender for contender in bench_peers.CONTENDERS if contender.name == "LazySlide")
    assert not bench_peers.present([wsinfer, lazyslide], tmp_path)
    said = capsys.readouterr().out
    assert "WSInfer is left out: it cannot be imported" in said
    assert "No module named 'wsinfer'" in said
    assert "LazySlide is left out" in said
    assert "holds no environment" in said


def test_unequal_work_shows_in_the_features():
    reference = np.random.default_rng(0).random((6, 8)).astype(np.float32)
    assert bench_peers.error_of(reference.copy(), reference) == 0
    softmax = np.exp(reference) / np.exp(reference).sum(axis=1, keepdims=True)
    assert bench_peers.error_of(np.log(softmax), reference) < 1e-6
    assert bench_peers.error_of(reference[::-1], reference) > bench_peers.LARGEST_ERROR["bf16"]


def test_what_was_disturbed_counts_only_where_there_is_nothing_else():
    def sample(rate, others):
        facts = {"cores_used": 1.0, "peak_mb": 1.0, "error": 0.0, "versions": {}}
        return {"patches_per_s": rate, "others_share": others} | facts

    naive = bench_peers.NAIVE
    found = bench_peers.figures_of(naive, [sample(4.0, 0.01), sample(1.0, 0.6), sample(5.0, 0.02)])
    assert (found["patches_per_s"], found["lowest"], found["samples"], found["disturbed"]) == (
        4.5,
        4.0,
        2,
        False,
    )
    assert bench_peers.figures_of(naive, [sample(1.0, 0.6)])["disturbed"]


def test_the_slope_of_a_line_is_one_and_of_a_square_two():
    rows = [{"patches": n, "seconds": 0.1 * n, "square": n**2} for n in (1_000, 10_000, 100_000)]
    small = {"patches": 10, "seconds": 50.0, "square": 50.0}  # what a run costs once
    assert slope([small, *rows], "seconds") == pytest.approx(1)
    assert slope([small, *rows], "square") == pytest.approx(2)
