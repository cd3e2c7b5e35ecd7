"""What tests of cohort runs share: small slides, what is asked of them, results without their times."""

import json
import os

import numpy as np
import pandas as pd
from tests_shared import draw_tissue, write_slide

from napari_aln.records import Clinical
from napari_aln.settings.prediction import CacheSettings, PredictSettings
from napari_aln.workflows.cohorts.slide_tasks import Asked
from napari_aln.workflows.cohorts.tasks import TaskMaker, list_slides

PATIENT = Clinical(age_years=61, tumor_size_cm=2.4, er=True, pr=False, her2=False)

DIES = """
import os, signal, sys, threading
def look(event, arguments):
    if event == "socket.connect" and "NO_NETWORK" in os.environ:
        os.abort()
    if event == "open" and str(arguments[0]).endswith("crash.tif"):
        os.kill(os.getpid(), signal.SIGSEGV)
    if event == "open" and str(arguments[0]).endswith("stuck.tif"):
        threading.Event().wait()
sys.addaudithook(look)
"""


def let_decoders_die(folder, monkeypatch):
    """Let processes begun from now on crash on crash.tif and hang on stuck.tif, as a decoder in C may."""
    (folder / "site").mkdir()
    (folder / "site" / "sitecustomize.py").write_text(DIES)
    monkeypatch.setenv("PYTHONPATH", str(folder / "site"), prepend=os.pathsep)


def draw_slides(folder, n):
    folder.mkdir(parents=True, exist_ok=True)
    return [
        write_slide(folder / f"slide {i}.tif", draw_tissue(np.random.default_rng(i))[:1800, :1800])
        for i in range(n)
    ]


def asked_of(bundle, out, **more):
    return Asked((bundle,), out, PredictSettings(cache=CacheSettings(enabled=False)), **more)


def listed_in(sources, out, **given):
    return list_slides(sources, TaskMaker(clinical=PATIENT, **given), out)[0]


def told(folder):
    """Return all that a result says, but for when and in what time it was made."""
    document = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    del document["created"]
    for run in document["runs"]:
        del run["seconds"]
    return document, pd.read_parquet(folder / "patches.parquet"), sorted(p.name for p in folder.iterdir())


def same(folder, other):
    (document, patches, names), (other_document, other_patches, other_names) = told(folder), told(other)
    pd.testing.assert_frame_equal(patches, other_patches, check_exact=True)
    return document == other_document and names == other_names
