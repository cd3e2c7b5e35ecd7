"""The program talks to nobody: its commands and its window's modules run where no socket can be made."""

import re
import subprocess
import sys

import pytest
from tests_shared import why_no_window

CLINICAL = ["--age", "61", "--tumor-size", "2.4", "--er", "+", "--pr", "-", "--her2", "-"]

_FROM_OUTSIDE = re.compile(r"""(src|href|action)\s*=\s*["']?\s*(https?:)?//|@import|url\(\s*["']?http""")

_BLOCKED = """
import os, socket, sys

attempts = []

def refuse(event, arguments):
    # An audit hook sees what C code does too. Pipes between processes of one machine are no network.
    if event.startswith("socket.") and event.split(".")[1] in (
        "connect", "bind", "sendto", "getaddrinfo", "gethostbyname"
    ):
        attempts.append((event, repr(arguments)))
        raise OSError("no network here")
    if event == "socket.__new__" and arguments[1] not in (getattr(socket, "AF_UNIX", None),):
        attempts.append((event, repr(arguments)))
        raise OSError("no network here")

sys.addaudithook(refuse)
"""
_REPORT = """
if attempts:
    print("NETWORK", attempts, file=sys.stderr)
    sys.exit(99)
"""


def run(*statements):
    """Run Python with sockets refused; return the finished process."""
    code = "\n".join([_BLOCKED, *statements, _REPORT])
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def commands(*calls):
    """Return the statements that run commands one after the other in one process."""
    lines = ["from napari_aln.cli import main"]
    for call in calls:
        words = ["napari-aln", *map(str, call)]
        lines += [f"sys.argv = {words!r}", "try:", "    main()", "except SystemExit as end:"]
        lines += ["    assert not end.code, (sys.argv, end.code)"]
    return lines


def test_the_hook_sees_a_connection():
    done = run(
        "import urllib.request",
        "try:\n    urllib.request.urlopen('http://127.0.0.1:9')\nexcept OSError: pass",
    )
    assert done.returncode == 99
    assert "NETWORK" in done.stderr


def test_predict_report_nuclei_and_verify_open_no_socket(tissue_slide, ws_bundle, tmp_path):
    roi = tmp_path / "roi.geojson"
    ring = "[[700,500],[900,500],[900,700],[700,700],[700,500]]"
    roi.write_text('{"type": "Polygon", "coordinates": [' + ring + "]}")
    out, models = tmp_path / "o", ["--model", ws_bundle]
    result = out / "case_1"
    done = run(
        *commands(
            ["predict", tissue_slide, *models, *CLINICAL, "--partitions", "2", "--out", out],
            ["nuclei", "measure", tissue_slide, "--roi", roi, "--method", "classical", "--result", result],
            ["verify", result, "--slide", tissue_slide, *models],
            ["model", "show", ws_bundle],
            ["doctor"],
        )
    )
    assert done.returncode == 0, done.stderr
    assert (result / "report.html").is_file()
    assert "agree." in done.stdout
    # Nor does a browser that opens the report: every picture, style and script lies inside.
    assert not _FROM_OUTSIDE.findall((result / "report.html").read_text(encoding="utf-8"))


def test_the_windows_modules_open_no_socket():
    pytest.importorskip("napari")
    done = run(
        "import importlib, pkgutil",
        "import napari_aln.widgets, napari_aln.contributions",
        "for package in (napari_aln.widgets, napari_aln.contributions):",
        "    for found in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):",
        "        importlib.import_module(found.name)",
        "print('imported')",
    )
    if done.returncode and "libEGL" in done.stderr:
        pytest.skip("Qt's libraries are not here")
    assert done.returncode == 0, done.stderr
    assert "imported" in done.stdout


@pytest.mark.slow
def test_a_window_with_a_slide_opens_no_socket(tissue_slide):
    reason = why_no_window()
    if reason:
        pytest.skip(reason)
    done = run(
        "from pathlib import Path",
        "from qtpy.QtCore import QTimer",
        "from napari_aln.widgets.window import dock_of, open_window, run",
        f"viewer = open_window([Path({str(tissue_slide)!r})])",
        "dock, seen = dock_of(viewer), []",
        "def look():",
        "    if dock.review.state.slide is not None and dock.review.state.seen is not None and not seen:",
        "        seen.append(True)",
        "        print('opened', flush=True)",
        "        viewer.window._qt_window.close()",
        "timer = QTimer()",
        "timer.timeout.connect(look)",
        "timer.start(50)",
        "run()",
    )
    assert done.returncode == 0, done.stderr
    assert "opened" in done.stdout
