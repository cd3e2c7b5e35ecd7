"""All hostile inputs: the crafted ones, and any number of damaged ones by their number."""

import itertools
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import broken_annotations as annotations
import broken_bundles as bundles
import broken_records as records
import broken_slides as slides
import broken_tables as tables
import numpy as np
from broken_bytes import damaged
from broken_json import DEEP, Hostile, odd_json
from broken_records import crafted_json
from session_samples import a_result, a_session, slide_info

DATA = Path(__file__).parents[3] / "shared" / "data"
_SAMPLES = Path(__file__).parents[2] / "sample_data"
_SHARES = {
    "slide": 11,
    "bundle": 2,
    "result": 1,
    "nuclei": 1,
    "session": 1,
    "packed": 1,
    "list": 1,
    "table": 2,
    "annotation": 5,
}
"""How often each kind of damaged file comes: most of what a decoder meets is beyond our reach."""

Entry = tuple[str, str, Callable[[], Path]]


class Corpus:
    """The inputs, written below a folder when their turn comes.

    Parameters
    ----------
    folder
        A new one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._numbers = itertools.count()
        sound = folder / "sound"
        (sound / "slides").mkdir(parents=True)
        self.slides = slides.sound_slides(sound / "slides", DATA)
        self.bundle = bundles.BundleParts(_SAMPLES / "dlcnbc-ws-demo.alnmodel")
        self.session, self.packed = _session(sound)
        self.result, self.nuclei = _result(sound / "result"), _nuclei(sound / "nuclei")
        self.list = _list(sound / "l.alnlist")
        self.tables = _tables(sound)

    def sound(self) -> Iterator[Entry]:
        """Yield what is damaged in the others, and must open."""
        for name, path in self.slides.items():
            yield name, "slide", lambda path=path: path
        yield self._entry(
            Hostile("bundle", "bundle", {"m": self.bundle.of(self.bundle.card, self.bundle.weights)}, "m")
        )
        yield self._entry(Hostile("result", "result", self.result, ""))
        yield self._entry(Hostile("nuclei", "nuclei", self.nuclei, ""))
        yield self._entry(Hostile("session", "session", {"s": self.session}, "s"))
        yield self._entry(Hostile("packed", "packed", {"r": self.packed}, "r"))
        yield self._entry(Hostile("list", "work_list", {"l": self.list.read_bytes()}, "l"))
        for suffix, content in {".csv": tables.SOUND_TABLE, **self.tables}.items():
            yield self._entry(Hostile(f"table{suffix}", "cohort", {f"c{suffix}": content}, f"c{suffix}"))
        for name, content in {
            "qupath": annotations.SOUND_GEOJSON,
            "bcnb": annotations.SOUND_BCNB,
            **annotations.SOUND_XML,
        }.items():
            yield self._entry(Hostile(name, "annotation", {name: content}, name))

    def crafted(self) -> Iterator[Entry]:
        """Yield the inputs made to do harm."""
        for name, content in slides.crafted_slides(self.slides, self.folder):
            yield self._entry(Hostile(name, "slide", {name: content}, name))
        for hostile in self._crafted_records():
            yield self._entry(hostile)

    def _crafted_records(self) -> Iterator[Hostile]:
        yield from bundles.crafted_bundles(self.bundle)
        for door, files, name in (
            ("result", self.result, "result.json"),
            ("nuclei", self.nuclei, "nuclei.json"),
        ):
            yield from crafted_json(door, name, files[name], "", files)
        yield from crafted_json("session", "s", self.session, "s", {})
        yield from crafted_json("memory", "remembered.json", b"{}", "", {})
        yield from crafted_json("annotation", "a", annotations.SOUND_GEOJSON, "a", {})
        yield from records.crafted_sessions(self.session)
        yield from records.crafted_lists(self.list, self.folder)
        yield from tables.crafted_tables()
        yield from annotations.crafted_annotations()
        for door, files in (("result", self.result), ("nuclei", self.nuclei)):
            name = next(name for name in files if name.endswith(".parquet"))
            bomb = files | {name: records.parquet_bomb(files[name])}
            yield Hostile(f"{door}-bomb", door, bomb, "")
        patients = {"c.parquet": records.parquet_bomb(self.tables[".parquet"])}
        yield Hostile("table-bomb", "cohort", patients, "c.parquet")
        deep = bundles.safetensors(b"[" * DEEP)
        yield Hostile("packed-deep", "packed", {"r": deep}, "r")
        yield Hostile("packed-short", "packed", {"r": b"\xff"}, "r")
        yield Hostile("features-deep", "memory", {"part-1.safetensors": deep}, "")

    def damaged(self, number: int) -> Entry:
        """Return one of any number of damaged inputs; the same number gives the same input."""
        rng = np.random.default_rng([8, number])
        kinds = [kind for kind, share in _SHARES.items() for _ in range(share)]
        kind = kinds[number % len(kinds)]
        name = f"damaged-{number}-{kind}"
        if kind == "slide":
            known = sorted(self.slides)
            chosen = self.slides[known[rng.integers(len(known))]]
            return name, "slide", lambda: slides.damaged_slide(chosen, rng, self._own(name) / "s")
        return self._entry(self._damaged_record(kind, rng)._replace(name=name))

    def _damaged_record(self, kind: str, rng: np.random.Generator) -> Hostile:
        if kind == "bundle":
            return bundles.damaged_bundle(self.bundle, rng)
        if kind in ("result", "nuclei"):
            return self._damaged_folder(kind, rng)
        if kind == "session":
            content = odd_json(self.session, rng) if rng.random() < 0.7 else damaged(self.session, rng)
            return Hostile("", "session", {"s": content}, "s")
        if kind == "packed":
            return records.packed_with(self.packed, rng)
        if kind == "list":
            content = self.list.read_bytes()
            return Hostile("", "work_list", {"l": damaged(content, rng, len(content))}, "l")
        if kind == "table":
            return tables.odd_table(rng, self.tables[".parquet"], self.tables[".xlsx"])
        return annotations.odd_annotation(rng)

    def _damaged_folder(self, kind: str, rng: np.random.Generator) -> Hostile:
        files = dict(self.result if kind == "result" else self.nuclei)
        name = sorted(files)[rng.integers(len(files))]
        if name.endswith("json"):
            files[name] = odd_json(files[name], rng)
        elif rng.random() < 0.6:
            files[name] = records.odd_parquet(files[name], rng)
        else:
            files[name] = damaged(files[name], rng, len(files[name]))
        return Hostile("", kind, files, "")

    def _own(self, name: str) -> Path:
        plain = "".join(c if c.isalnum() else "_" for c in name)[:60]
        folder = self.folder / "inputs" / f"{next(self._numbers)}-{plain}"
        folder.mkdir(parents=True)
        return folder

    def remove(self, path: Path) -> None:
        """Remove what was written for an input that was opened."""
        inputs = self.folder / "inputs"
        if path.is_relative_to(inputs):
            shutil.rmtree(inputs / path.relative_to(inputs).parts[0])

    def _entry(self, hostile: Hostile) -> Entry:
        def make() -> Path:
            folder = self._own(f"{hostile.door}-{hostile.name}")
            for name, content in hostile.files.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(content)
            return folder / hostile.opened

        return hostile.name, hostile.door, make


def _session(folder: Path) -> tuple[bytes, bytes]:
    from napari_aln.store.session import write_session

    review = a_session(folder)
    write_session(review, folder / "s.alnsession")
    return (folder / "s.alnsession").read_bytes(), next(iter(review.results.values()))


def _result(folder: Path) -> dict[str, bytes]:
    from dataclasses import replace

    from napari_aln.geometry import Mpp
    from napari_aln.store.result import document_of, write_document, write_tables

    folder.mkdir()
    result = replace(a_result(), slide=replace(slide_info(), mpp=Mpp(0.5, 0.5), mpp_origin="file"))
    write_document(document_of(result, private=True), folder)
    write_tables(result, folder)
    (folder / "regions.geojson").write_bytes(annotations.SOUND_GEOJSON)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _nuclei(folder: Path) -> dict[str, bytes]:
    from napari_aln.geometry import Mpp
    from napari_aln.nuclei import measure, outlines_of
    from napari_aln.nuclei.table import placed, write_nuclei

    folder.mkdir()
    labels = np.zeros((60, 60), int)
    labels[5:20, 5:20], labels[30:50, 30:45] = 1, 2
    table = placed(measure(labels, 0.5), (0.0, 0.0), (1.0, 1.0))
    write_nuclei(
        table.assign(on_border=False),
        folder / "nuclei.parquet",
        mpp=Mpp(0.5, 0.5),
        slide_hash="h",
        outlines=outlines_of(labels),
    )
    statement = {
        "created": "2026-01-01",
        "versions": {},
        "alias": "a",
        "method": "classical",
        "model_sha256": "",
        "slide": {
            "quick_hash": "h",
            "file": None,
            "vendor": "v",
            "reader": "r",
            "size_px": [60, 60],
            "downsamples": [[1, 1]],
            "mpp": [0.5, 0.5],
            "mpp_origin": "file",
            "bounds_l0": [0, 0, 60, 60],
            "objective_power": None,
            "warnings": [],
        },
        "settings": {},
        "read_mpp": [0.5, 0.5],
        "what": "tissue",
        "outline": None,
        "area_mm2": 1.0,
        "tissue_mm2": 1.0,
        "n_nuclei": 2,
        "density_per_mm2": 2.0,
        "counts": {},
        "seconds": 1.0,
        "warnings": [],
    }
    (folder / "nuclei.json").write_text(json.dumps(statement))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _list(path: Path) -> Path:
    from worklist_samples import SLIDES, A, B, run

    from napari_aln.records import Clinical
    from napari_aln.store.worklist import WorkList
    from napari_aln.store.worklist_records import NewSlide, Patient

    own = [NewSlide(path.parent / f"{name}.svs", patient) for name, patient in SLIDES]
    with WorkList.create(path) as opened:
        opened.add(own, [Patient("007", Clinical(age_years=61.0), "N(+)")])
        opened.mark_open(A, "hash")
        opened.record_runs(A, [run()], path.parent / "out")
        for item in (A, B):
            opened.store_call(item, "AB", "N0", 0.5, "a comment")
    return path


def _tables(folder: Path) -> dict[str, bytes]:
    from napari_aln.cohort.table import read_cohort, write_cohort

    (folder / "c.csv").write_bytes(tables.SOUND_TABLE)
    rows = read_cohort(folder / "c.csv")
    for suffix in (".parquet", ".xlsx"):
        write_cohort(folder / f"c{suffix}", rows)
    return {suffix: (folder / f"c{suffix}").read_bytes() for suffix in (".parquet", ".xlsx")}
