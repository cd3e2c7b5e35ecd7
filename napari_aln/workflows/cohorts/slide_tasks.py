"""One slide of many: what is asked of it as plain values, and the one way in which any process answers."""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import traceback
from dataclasses import asdict, dataclass
from threading import Lock
from typing import TYPE_CHECKING, Literal, NamedTuple

from napari_aln.errors import AlnError, UsageError
from napari_aln.mil.bundle import open_bundle
from napari_aln.slides import open_slide
from napari_aln.store.features import FeatureCache
from napari_aln.store.result import alias_of, answers, without_patient
from napari_aln.workflows.predict import Request, needs_whole_bags, predict_to_folder
from napari_aln.workflows.results.deliver import place_for
from napari_aln.workflows.slide.networks import ReadyNetworks

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from napari_aln.mil.bundle import Bundle
    from napari_aln.records import Clinical, Progress, SlideResult
    from napari_aln.settings.prediction import PredictSettings


@dataclass(frozen=True)
class SlideTask:
    """A slide, and what is known of it besides its pixels.

    Attributes
    ----------
    path
        The slide.
    mpp
        µm/px of level 0 where it is given; None: the file's.
    roi
        Annotation file with the tumour ROI.
    clinical
        The five clinical values.
    case_id
        Names the slide in private mode.
    patient_id
        As the cohort table has it: an accession number, if not a name, so that private mode shows none.
    """

    path: Path
    mpp: float | None = None
    roi: Path | None = None
    clinical: Clinical | None = None
    case_id: str | None = None
    patient_id: str = ""

    def without_names(self, text: str) -> str:
        """Return a message with the slide's file, the ROI's and the patient named nowhere."""
        for path, stand_in in ((self.path, "The slide"), (self.roi, "its ROI file")):
            if path is None:
                continue
            names = (str(path), path.as_posix(), str(path.parent), path.name, path.stem, *_within(path))
            for name in (name for name in names if len(name) > 1):
                text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", stand_in, text)
        return without_patient(text, self.patient_id)


def _within(path: Path) -> list[str]:
    """Return the names of the files that a slide which is a folder (DICOM) is made of."""
    try:
        return [file.name for file in path.iterdir()] if path.is_dir() else []
    except OSError:  # one that may not be entered: nor could it be read
        return []


@dataclass(frozen=True)
class Asked:
    """What is the same for every slide. Plain values, which travel to other processes and machines.

    Attributes
    ----------
    models
        The bundles, one for each mode.
    out
        Parent of the result folders.
    settings
        Everything else the numbers depend on.
    origin
        What ROI files' coordinates start at, unless they say so.
    private
        Name slides' files nowhere.
    cache_dir
        Another cache folder than the user's own.
    """

    models: tuple[Path, ...]
    out: Path
    settings: PredictSettings
    origin: Literal["level0", "bounds"] | None = None
    private: bool = False
    cache_dir: Path | None = None


def request_sha256(task: SlideTask, asked: Asked, models: tuple[str, ...]) -> str:
    """Return a hash of all that a slide's result depends on, but not of how it is computed.

    Parameters
    ----------
    task, asked
        The slide is told by its path, size and time of change; the ROI by its content.
    models
        See `Predictor.models`.
    """
    facts = {
        "slide": [str(task.path), *_stamp_of(task.path)],
        "mpp": task.mpp,
        "roi": None if task.roi is None else _content_of(task.roi),
        "clinical": None if task.clinical is None else asdict(task.clinical),
        "case_id": task.case_id,
        "origin": asked.origin,
        "private": asked.private,
        "settings": asked.settings.model_dump(
            mode="json", exclude={"cache": True, "engine": {"batch", "decode_threads", "device"}}
        ),
        "models": models,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode("utf-8", "surrogateescape")).hexdigest()


def _stamp_of(path: Path) -> tuple[int, int]:
    """Return size and time of change of a slide, zeros where it is not there: opening it says so."""
    try:
        stat = path.stat()
    except OSError:
        return 0, 0
    return (0 if path.is_dir() else stat.st_size), stat.st_mtime_ns


def _content_of(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:  # said when the ROI is read
        return "unreadable"


class Predictor:
    """Opened models, with networks made ready once for all slides of a process.

    Raises
    ------
    BundleError
        A bundle cannot be used.
    """

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.bundles: list[Bundle] = [open_bundle(path) for path in asked.models]
        self.cache = FeatureCache(asked.cache_dir) if asked.settings.cache.enabled else None
        self._networks = ReadyNetworks()

    @property
    def models(self) -> tuple[str, ...]:
        """Return the hashes of weights and card of each bundle."""
        return tuple(f"{bundle.sha256} {bundle.card_sha256}" for bundle in self.bundles)

    @property
    def resumes(self) -> bool:
        """Whether a slide that is cut off goes on from the patches it has read."""
        by_patch = not any(needs_whole_bags(bundle.card, self.asked.settings) for bundle in self.bundles)
        return self.cache is not None and by_patch

    def run(self, task: SlideTask) -> Generator[Progress, None, tuple[SlideResult, Path]]:
        """Yield progress, return the result and its folder; see `predict_to_folder`."""
        with open_slide(task.path, mpp=task.mpp) as slide:
            request = self._request(task, request_sha256(task, self.asked, self.models))
            return (yield from predict_to_folder(slide, request, self.asked.out, private=self.asked.private))

    def run_unless_done(self, task: SlideTask, sha256: str) -> Generator[Progress, None, tuple[Path, bool]]:
        """Yield progress, return the result's folder and whether it was there before.

        Parameters
        ----------
        task
            The slide.
        sha256
            See `request_sha256`: an answer to the same request is kept.
        """
        with open_slide(task.path, mpp=task.mpp) as slide:
            alias = alias_of(slide.info, task.case_id)
            place = place_for(slide, alias, self.asked.out, private=self.asked.private)
            if answers(place, sha256) is not None:
                return place, True
            request = self._request(task, sha256)
            yield from predict_to_folder(
                slide, request, self.asked.out, private=self.asked.private, keep=True
            )
            return place, False

    def _request(self, task: SlideTask, sha256: str) -> Request:
        return Request(
            self.bundles,
            regions=task.roi,
            origin=self.asked.origin,
            clinical=task.clinical,
            settings=self.asked.settings,
            cache=self.cache,
            case_id=task.case_id,
            networks=self._networks,
            sha256=sha256,
        )


class Delivered(NamedTuple):
    """A slide's result is in its folder below `Asked.out`."""

    folder: str
    kept: bool  # it was there before
    worker: str


class Failure(NamedTuple):
    """Why a slide has no result."""

    cause: str
    next_step: str
    worker: str = ""
    details: str = ""  # where in the program, for errors it did not foresee


def worker_name(process: int | None) -> str:
    """Return how attempts name a process of this machine."""
    return f"process {process} on {socket.gethostname()}"


_ready: Predictor | None = None
_one_slide_at_a_time = Lock()
"""A process has the memory for one slide, however many threads a cluster gives it."""


def answer(
    asked: Asked, models: tuple[str, ...], task: SlideTask, sha256: str, say: Callable[[Progress], None]
) -> Delivered | Failure:
    """Predict a slide in this process unless its result is there; never raise what a slide may cause.

    Parameters
    ----------
    asked, task
        What is asked.
    models
        The hashes that the models must have, see `Predictor.models`: another machine may have others.
    sha256
        See `request_sha256`.
    say
        Is told how far it is.
    """
    worker = worker_name(os.getpid())
    try:
        with _one_slide_at_a_time:
            work = _predictor(asked, models).run_unless_done(task, sha256)
            try:
                while True:
                    say(next(work))
            except StopIteration as end:
                place, kept = end.value
                return Delivered(place.name, kept, worker)
            finally:
                work.close()
    except AlnError as error:
        return Failure(error.fact, error.next_step, worker)
    except Exception as error:  # noqa: BLE001  (one slide stops no cohort; what happened is told whole)
        kind = type(error).__name__
        said = kind if asked.private else f"{kind}: {error}"  # an error may quote what stands in a file
        return Failure(
            f"The program failed on this slide ({said}).",
            "Report it with what the slide's state file says.",
            worker,
            traceback.format_exc(),
        )


def _predictor(asked: Asked, models: tuple[str, ...]) -> Predictor:
    """Return what this process has ready for a run, made ready where it is for another one."""
    global _ready
    if _ready is None or _ready.asked != asked or _ready.models != models:
        _ready = None  # its networks go before others come
        _ready = Predictor(asked)
    if _ready.models != models:
        raise UsageError(
            f"The models on {socket.gethostname()} are not those that the run was started with.",
            "Let all machines see the same model files.",
        )
    return _ready
