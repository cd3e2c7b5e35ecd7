"""Every file says what made it: itself, or by one beside it that the table below names."""

import re
from importlib.metadata import version

import numpy as np
import pyarrow.parquet as pq
import pytest
import tifffile
from PIL import Image
from tests_shared import SLIDE_SIZE_PX, drain

from napari_aln import open_slide
from napari_aln.annotations import write_asap, write_geojson, write_imagescope
from napari_aln.mil.bundle import open_bundle
from napari_aln.records import Clinical
from napari_aln.settings.nuclei import NucleiSettings
from napari_aln.settings.prediction import BagSettings, CohortRunSettings, PredictSettings
from napari_aln.store.worklist import WorkList
from napari_aln.store.worklist_records import NewSlide, Patient, RunSummary
from napari_aln.workflows.cohorts.predict_cohort import predict_cohort
from napari_aln.workflows.cohorts.slide_tasks import Asked, Predictor
from napari_aln.workflows.cohorts.tasks import TaskMaker, list_slides
from napari_aln.workflows.evaluation.reader_study import export_reader_study
from napari_aln.workflows.nuclei.by_attention import Ends, contrast_of_result, write_contrast
from napari_aln.workflows.nuclei.folder import NucleiRequest, nuclei_to_folder
from napari_aln.workflows.nuclei.view import open_nuclei, save_nuclei
from napari_aln.workflows.predict import Request
from napari_aln.workflows.results.gallery import Ranking, ranked
from napari_aln.workflows.review.resume import save_session
from napari_aln.workflows.review.session import Answered, Review, SessionMaker
from napari_aln.workflows.review.steps import save_patches
from napari_aln.workflows.slide.prepare import survey

pytestmark = pytest.mark.slow
PATIENT = Clinical(age_years=61, tumor_size_cm=2.4, er=True, pr=False, her2=False)
SETTINGS = PredictSettings(bags=BagSettings(partitions=2, seed=7310))

# File -> the file beside it that says what made it (empty: itself), and what is said there.
SLIDE = ("slide_hash", "mpp", "mpp_origin", "version")
RUN = (*SLIDE, "model", "card", "seed", "bags", "device", "precision", "settings")
NUCLEI = (*SLIDE, "nuclei")
FILES = {
    r"case_1/result\.json": ("", RUN),
    r"case_1/(patches|bags)\.parquet": ("", RUN),
    r"case_1/heatmap-.*\.tif": ("", RUN),
    r"case_1/(attention|contribution).*\.png": ("", RUN),
    r"case_1/report\.html": ("", RUN),
    r"case_1/regions\.geojson": ("", SLIDE),
    r"case_1/nuclei\.json": ("", NUCLEI),
    r"case_1/nuclei.*": ("nuclei.json", NUCLEI),
    r"contrast/.*": ("contrast.json", (*RUN, "nuclei")),
    r".*-patches/patches\.csv": ("", RUN),
    r".*-patches/.*\.png": ("", RUN),
    r"study.*\.csv(\.json)?": (".json", RUN),
    r"shown\..*": (".json", NUCLEI),
    r"roi\.(geojson|xml|asap\.xml)": ("", SLIDE),
    r"review\.alnsession": ("", (*SLIDE, "model", "card", "settings", "seed")),
    r"cohort\.(csv|html)": ("cohort.json", ("version", "model", "card", "settings", "seed", "each")),
    r"cohort\.json": ("", ("version", "model", "card", "settings", "seed", "each")),
    r"\.cohort/.*": (None, ()),  # how far a run is; says nothing of a slide
}


@pytest.fixture(scope="module")
def written(tmp_path_factory, tissue_slide, ws_bundle):
    """Write everything that is written of a slide, and return the folder, the bundle and the result."""
    folder = tmp_path_factory.mktemp("written")
    bundle = open_bundle(ws_bundle)
    asked = Asked((ws_bundle,), folder, SETTINGS)
    listed, _ = list_slides([tissue_slide], TaskMaker(clinical=PATIENT), folder)
    result, place = drain(Predictor(asked).run(listed[0].task))
    drain(predict_cohort(listed, asked, CohortRunSettings()))  # keeps the result; adds the summary
    labels = np.zeros(SLIDE_SIZE_PX[::-1], np.uint16)
    for number in range(1, 901):
        x, y, side = 540 + 60 * (number % 30), 440 + 40 * (number // 30), 8 + number % 9
        labels[y : y + side, x : x + 12] = number
    scratch = tmp_path_factory.mktemp("labels") / "labels.png"
    Image.fromarray(labels).save(scratch)
    with open_slide(tissue_slide) as slide:
        info, seen = slide.info, survey(slide)
        drain(nuclei_to_folder(slide, NucleiRequest(NucleiSettings(), labels=scratch), place))
    (folder / "contrast").mkdir()
    write_contrast(contrast_of_result(place, ends=Ends()), folder / "contrast", result.alias)
    shown = drain(open_nuclei(info, place / "nuclei.parquet"))
    for suffix in (".csv", ".parquet", ".geojson"):
        drain(save_nuclei(info, shown, folder / f"shown{suffix}"))
    (record,), scores = result.runs, result.scores["dlcnbc-ws"]
    best, _ = ranked(scores.table, scores.attention_slide, scores, 1)
    how = Ranking("attention_slide", "attention", "", (record,), "as run", result.alias, info.quick_hash)
    drain(save_patches(info, best, how, folder))
    stated = {"mpp": info.mpp, "slide_hash": info.quick_hash, "mpp_origin": info.mpp_origin}
    for write, name in ((write_geojson, ".geojson"), (write_asap, ".asap.xml"), (write_imagescope, ".xml")):
        write((), folder / f"roi{name}", **stated)
    with WorkList.create(tmp_path_factory.mktemp("list") / "a.alnlist") as work_list:
        work_list.add([NewSlide(info.path, "7", quick_hash=info.quick_hash)], [Patient("7", PATIENT, "N0")])
        work_list.record_runs(1, [RunSummary.of(record)], place)
        work_list.store_call(1, "A", "N(+)")
        export_reader_study(work_list, folder / "study.csv")
    request = Request([bundle], clinical=PATIENT, settings=SETTINGS)
    review = Review(info, seen, bundles=(bundle,), answers=(Answered(request, seen, result),))
    drain(save_session(SessionMaker(), review, folder / "review.alnsession"))
    return folder, bundle, result


def said_by(path):
    """Return all that a file says of itself, as text."""
    if path.suffix == ".parquet":
        return repr(pq.read_schema(path).metadata)
    if path.suffix == ".tif":
        with tifffile.TiffFile(path) as tiff:
            return tiff.ome_metadata
    if path.suffix == ".png":
        with Image.open(path) as picture:
            return repr(picture.text)
    return path.read_text(encoding="utf-8-sig")


@pytest.mark.parametrize("pattern", FILES)
def test_what_made_it_is_named(written, pattern):
    folder, bundle, result = written
    where, facts = FILES[pattern]
    names = [p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()]
    found = [name for name in names if re.fullmatch(pattern, name)]
    assert found
    (run,) = result.runs
    expected = {
        "slide_hash": result.slide.quick_hash,
        "mpp": "0.5",
        "mpp_origin": "file",
        "version": version("napari-aln"),
        "model": bundle.sha256,
        "card": bundle.card_sha256,
        "seed": "7310",
        "bags": str(run.n_bags),
        "device": run.device,
        "precision": run.precision,
        "settings": "min_entropy_bits",
        "nuclei": "min_area_um2",
        "each": "result.json",
    }
    for name in found if where is not None else ():
        path = folder / name
        if where.startswith(".") and not name.endswith(".json"):
            path = path.with_name(path.name + where)
        elif where and not where.startswith("."):
            path = path.with_name(where)
        text = said_by(path)
        missing = [fact for fact in facts if expected[fact] not in text]
        assert missing == [], name


def test_every_file_is_in_the_table(written):
    folder, *_ = written
    names = [p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()]
    assert [name for name in names if not any(re.fullmatch(one, name) for one in FILES)] == []
