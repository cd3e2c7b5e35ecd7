"""The doors through which files come in, each opened in a process of its own: run as a script, see `Pool`.

A door reads a file as the program would, down to pixels, tensors or rows, and returns nothing.
"""

import json
import os
import sys
import time
import traceback
from pathlib import Path

import numpy as np

EXTRA_BYTES = 3 * 2**30
"""What one input may take beyond what the idle process has mapped; the largest strip allowed needs most."""


def slide(path: Path) -> None:
    from napari_aln.slides import open_slide
    from napari_aln.slides.first_open import try_slide

    with open_slide(path) as opened:
        opened.color_profile()
        try_slide(opened)
        for name in opened.info.associated:
            opened.associated_image(name)


def bundle(path: Path) -> None:
    from napari_aln.mil.bundle import open_bundle

    opened = open_bundle(path)
    opened.network()
    _ = opened.head


def result(path: Path) -> None:
    from napari_aln.store.result import read_document
    from napari_aln.store.scored_patches import runs_of, scored_patches
    from napari_aln.store.stored_result import read_stored

    _each(
        lambda: read_document(path),
        lambda: runs_of(path),
        lambda: scored_patches(path),
        lambda: read_stored(path),
    )


def nuclei(path: Path) -> None:
    from napari_aln.nuclei.table import holds_nuclei, read_nuclei
    from napari_aln.store.nuclei import read_statement

    table = path / "nuclei.parquet"

    def outlines() -> None:
        stored = read_nuclei(table).outlines
        if stored is not None:
            stored.of(np.arange(len(stored.label)))

    _each(lambda: holds_nuclei(table), outlines, lambda: read_statement(path))


def session(path: Path) -> None:
    from session_samples import slide_info

    from napari_aln.store.packed_result import unpack_result
    from napari_aln.store.session import read_session

    for content in read_session(path).results.values():
        unpack_result(content, slide_info())


def packed(path: Path) -> None:
    from session_samples import slide_info

    from napari_aln.store.packed_result import unpack_result

    unpack_result(path.read_bytes(), slide_info())


def work_list(path: Path) -> None:
    from napari_aln.store.worklist import WorkList

    with WorkList(path) as opened:
        for item in opened.items():
            opened.clinical(item.item_id)
            opened.calls(item.item_id)
            opened.results(item.item_id, "AB")
            opened.reference(item.item_id, "AB")
        opened.readers()
        opened.unread("AB")
        opened.map_limits("attention_slide", [], "AB")


def memory(path: Path) -> None:
    """What a window remembers, and features kept: what is damaged counts as absent, so nothing is refused."""
    from napari_aln.store.features import FeatureEntry
    from napari_aln.store.remembered import Remembered

    known = Remembered(path / "remembered.json")
    _ = known.recent, known.bundles, known.mpp("hash")
    FeatureEntry(path).load(4)


def cohort(path: Path) -> None:
    from napari_aln.cohort.table import read_cohort, write_cohort

    rows = read_cohort(path, several_slides=True)
    write_cohort(path.parent / "again.csv", rows)
    if path.suffix == ".csv":  # a line ending inside a cell may change on the way
        again = read_cohort(path.parent / "again.csv", several_slides=True)
        assert [row.patient_id for row in again] == [row.patient_id for row in rows]


def annotation(path: Path) -> None:
    from napari_aln.annotations import read_annotations, write_asap, write_geojson, write_imagescope
    from napari_aln.annotations.usable import usable_regions
    from napari_aln.geometry import ScannerFrame

    read = read_annotations(path, scanner=ScannerFrame((0.0, 0.0), (250.0, 250.0)))
    for write in (write_geojson, write_asap, write_imagescope):
        write(read.regions, path.with_name("again"), mpp=None, slide_hash="")
    regions, _ = usable_regions(read.regions, (4000, 3000), path.name)
    for region in regions:
        left, top, right, bottom = region.geometry.bounds
        assert region.geometry.is_valid
        assert 0 <= left <= right <= 4000
        assert 0 <= top <= bottom <= 3000


def _test(path: Path) -> None:
    """Behave as the worst inputs would, to show that it is noticed."""
    if path.name == "die":
        os.abort()
    if path.name == "sleep":
        time.sleep(1000)
    if path.name == "flood":
        bytearray(2 * EXTRA_BYTES)


DOORS = {door.__name__: door for door in (slide, bundle, result, nuclei, session, packed)}
DOORS |= {door.__name__: door for door in (work_list, memory, cohort, annotation)}


def _each(*readings) -> None:
    """Try all; raise the first refusal."""
    from napari_aln.errors import AlnError

    refusals = []
    for read in readings:
        try:
            read()
        except AlnError as error:
            refusals.append(error)
    if refusals:
        raise refusals[0]


def outcome(door: str, path: Path) -> dict[str, str]:
    """Return how one input ended: fine, refused with a reason, or in a traceback."""
    from napari_aln.errors import AlnError

    try:
        (DOORS | {"_test": _test})[door](path)
    except AlnError as error:
        if not (error.fact.strip() and error.next_step.strip()) or "Traceback" in str(error):
            return {"ended": "unclear", "told": repr(error)}
        return {"ended": "refused", "told": f"{type(error).__name__}: {error}"}
    except BaseException:  # noqa: BLE001 - whatever it was is the finding
        return {"ended": "traceback", "told": traceback.format_exc()}
    return {"ended": "fine", "told": ""}


def _limit_memory() -> None:
    import resource

    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (mapped + EXTRA_BYTES, mapped + EXTRA_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _warm_up(doors: list[str]) -> None:
    """Import what the doors need before memory is limited: it is the program's, not an input's."""
    import pandas  # noqa: F401
    import pyarrow.parquet  # noqa: F401

    from napari_aln.annotations import read_annotations  # noqa: F401
    from napari_aln.slides import image_reader, openslide_reader, tifffile_reader  # noqa: F401

    if "bundle" in doors:
        from napari_aln.mil.architecture import load_network  # noqa: F401
        from napari_aln.runtimes.timm_import import import_timm

        import_timm("timm:vit_tiny_patch16_224")
    np.linalg.svd(np.eye(64))  # the threads of linear algebra


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints is no answer
    _warm_up(sys.argv[1].split(","))
    if sys.platform == "linux" and "HOSTILE_UNLIMITED" not in os.environ:
        _limit_memory()
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(outcome(asked["door"], Path(asked["path"]))), file=answers, flush=True)


if __name__ == "__main__":
    main()
