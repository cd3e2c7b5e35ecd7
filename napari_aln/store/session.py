"""The session file: one review as it stood, to be reopened exactly.

JSON with a version, written whole or not at all. Numbers keep every bit: outlines are WKB, floats are
written as Python prints them, masks are packed bits. Results are embedded, or lie beside it in ``results/``
(autosave: they are written once, not with every change).

It holds local paths, clinical values and the reader's settings: it is the user's own file and never part of
an export. One that was saved with names hidden does not say where its slide lies (`resume.nameless`); the
autosave does, in the user's own folder.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from napari_aln.errors import StoreError
from napari_aln.records import Clinical, Mode
from napari_aln.settings.prediction import PredictSettings
from napari_aln.store.atomic import atomic_file
from napari_aln.store.json_document import is_newer, parse_json
from napari_aln.store.packed_result import SavedRegion

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

SESSION_VERSION = 2  # 2 says what it does not place
SESSION_SUFFIX = ".alnsession"
RESULTS_FOLDER = "results"
RESULT_SUFFIX = ".alnresult"
NUCLEI = "nuclei"  # in the window's record: the file of the nuclei that are shown
MAX_MASK_PX = 10**9  # far beyond any overview: what unpacks to more is no mask
MOST_UNFOLDING = 100  # times a packed result's own bytes; results of ours unfold to three times theirs


class _Saved(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SavedSlide(_Saved):
    """Which slide, and the µm/px it was reviewed with."""

    path: Path
    quick_hash: str
    mpp: tuple[float, float] | None
    mpp_origin: Literal["file", "user", "missing"]


class SavedBundle(_Saved):
    """A loaded model."""

    path: Path
    sha256: str  # of the weights
    card_sha256: str
    mode: Mode
    name: str


class SavedMask(_Saved):
    """A tissue mask a person edited, as packed bits."""

    shape: tuple[int, int]
    tissue: str
    pen: str

    @classmethod
    def of(cls, tissue: NDArray[np.bool_], pen: NDArray[np.bool_]) -> SavedMask:
        """Save two (H, W) masks of the overview."""
        return cls(shape=tissue.shape, tissue=_packed_bits(tissue), pen=_packed_bits(pen))

    def masks(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return tissue and pen, each (H, W).

        Raises
        ------
        ValueError
            They are damaged.
        """
        return self._bits(self.tissue), self._bits(self.pen)

    def _bits(self, text: str) -> NDArray[np.bool_]:
        n = self.shape[0] * self.shape[1]
        if min(self.shape) < 1 or n > MAX_MASK_PX:
            raise ValueError("impossible size of a mask")
        n_bytes = -(-n // 8)
        try:
            raw = zlib.decompressobj().decompress(base64.b64decode(text, validate=True), n_bytes + 1)
        except zlib.error as error:
            raise ValueError("a mask is damaged") from error
        if len(raw) != n_bytes:
            raise ValueError("a mask has another size than stated")
        return np.unpackbits(np.frombuffer(raw, np.uint8), count=n).astype(bool).reshape(self.shape)


class SavedCase(_Saved):
    """What a model was, or would be, asked about."""

    regions: tuple[SavedRegion, ...] = ()
    clinical: Clinical = Clinical()
    settings: PredictSettings = PredictSettings()


class SavedAnswer(_Saved):
    """A result, and the question it answers."""

    result_sha256: str  # of the packed result
    asked: SavedCase
    bundles: tuple[int, ...]  # places in the session's list
    mask_is_current: bool  # whether it was made with the tissue mask of the session
    packed: str | None = None  # the packed result; None: in `RESULTS_FOLDER` beside the session


class SavedMap(_Saved):
    """The map on the slide and how it is drawn. Left out: as the map's own style has it."""

    run: str
    name: str
    visible: bool = True
    opacity: float | None = None
    colour_map: str | None = None
    scaling: str | None = None
    limits: tuple[float, float] | None = None
    threshold: float | None = None


class Unplaced(_Saved):
    """What belonged to a review whose names were hidden: where it lies is not said."""

    work_list: bool = False
    nuclei: bool = False
    nuclei_sha256: str = ""  # of the ``nuclei.json`` beside them; empty where there was none


class SavedCamera(_Saved):
    """What was in view."""

    centre_l0_xy: tuple[float, float]
    zoom: float  # the viewer's own: screen px for one µm, or for one level-0 px where µm/px is unknown


class Session(_Saved):
    """The contents of a session file."""

    schema_version: int = SESSION_VERSION
    saved_at: str  # UTC, ISO 8601
    versions: dict[str, str] = {}
    slide: SavedSlide
    case: SavedCase
    bundles: tuple[SavedBundle, ...] = ()
    chosen: tuple[int, ...] = ()  # places in `bundles`, one for each mode
    answers: tuple[SavedAnswer, ...] = ()
    shown: SavedMap | None = None
    camera: SavedCamera | None = None
    mask: SavedMask | None = None  # only where a person edited it
    hide_names: bool = False
    work_list: Path | None = None
    unplaced: Unplaced = Unplaced()
    window: dict[str, JsonValue] = {}  # what a face wants to find again; not interpreted here


@dataclass(frozen=True)
class SavedReview:
    """A session with the packed results it names, by their SHA-256."""

    session: Session
    results: Mapping[str, bytes] = field(default_factory=dict)


def write_session(review: SavedReview, path: Path, *, embed: bool = True) -> None:
    """Write a session file.

    Parameters
    ----------
    review
        What to write.
    path
        Where; its suffix is `SESSION_SUFFIX`.
    embed
        Whether results go into the file; else each is written once, beside it.

    Raises
    ------
    StoreError
        The disk is full or may not be written to. An earlier file is left as it was.
    """
    session = review.session
    if embed:
        answers = [
            answer.model_copy(update={"packed": _packed(review.results[answer.result_sha256])})
            for answer in session.answers
        ]
        session = session.model_copy(update={"answers": tuple(answers)})
    else:
        for answer in session.answers:
            beside = result_path(path.parent, answer.result_sha256)
            if not beside.exists():
                with atomic_file(beside) as temporary:
                    temporary.write_bytes(review.results[answer.result_sha256])
    # Escaped to ASCII: a path need not be text that can be encoded.
    text = json.dumps(session.model_dump(mode="json"), allow_nan=False)
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="ascii")


def read_session(path: Path) -> SavedReview:
    """Read a session file and the results it names.

    Raises
    ------
    StoreError
        It is missing, damaged or newer, or a result beside it is missing or damaged. Nothing is changed.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StoreError(
            f"{path} cannot be read ({error.strerror or error}).",
            "Check the name and that the drive is there.",
        ) from error
    session = parse_session(content, path)
    results = {answer.result_sha256: _result(path, answer) for answer in session.answers}
    answers = tuple(answer.model_copy(update={"packed": None}) for answer in session.answers)
    return SavedReview(session.model_copy(update={"answers": answers}), results)


def parse_session(content: bytes, path: Path) -> Session:
    """Return the session of a file's content; `path` is for the messages.

    Raises
    ------
    StoreError
        It is damaged or newer.
    """
    try:
        raw = parse_json(content)
    except ValueError as error:
        raise StoreError(f"{path} is no whole session file.", _TRY_ANOTHER) from error
    if is_newer(raw, SESSION_VERSION):
        raise StoreError(f"{path} was written by a newer version.", "Update napari-aln to open it.")
    try:
        session = Session.model_validate(raw)
        for case in (session.case, *(answer.asked for answer in session.answers)):
            for region in case.regions:
                region.region()
        if session.mask:
            session.mask.masks()
        places = [*session.chosen, *(i for answer in session.answers for i in answer.bundles)]
        if any(not 0 <= i < len(session.bundles) for i in places):
            raise ValueError("it names a model that it does not list")
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise StoreError(f"{path} is no session file ({where}: {first['msg']}).", _TRY_ANOTHER) from error
    except ValueError as error:
        raise StoreError(f"{path} is damaged ({error}).", _TRY_ANOTHER) from error
    return session


_TRY_ANOTHER = "Choose another session, or open the slide itself."


def result_path(folder: Path, sha256: str) -> Path:
    """Return where a packed result lies beside the sessions of a folder."""
    return folder / RESULTS_FOLDER / f"{sha256}{RESULT_SUFFIX}"


def _result(path: Path, answer: SavedAnswer) -> bytes:
    try:
        if answer.packed is None:
            content = result_path(path.parent, answer.result_sha256).read_bytes()
        else:
            content = _unpacked(answer.packed)
    except (OSError, zlib.error, ValueError) as error:
        raise StoreError(f"A result of {path} is missing or damaged.", _TRY_ANOTHER) from error
    if hashlib.sha256(content).hexdigest() != answer.result_sha256:
        raise StoreError(f"A result of {path} is damaged.", _TRY_ANOTHER)
    return content


def _packed(content: bytes) -> str:
    return base64.b64encode(zlib.compress(content, 1)).decode()


def _unpacked(text: str) -> bytes:
    packed = base64.b64decode(text, validate=True)
    unfolding = zlib.decompressobj()
    content = unfolding.decompress(packed, MOST_UNFOLDING * len(packed) + 2**20)
    if not unfolding.eof:
        raise ValueError("it unfolds to more than any result does, or was cut off")
    return content


def _packed_bits(mask: NDArray[np.bool_]) -> str:
    return _packed(np.packbits(mask).tobytes())
