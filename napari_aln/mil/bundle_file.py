"""The file of a bundle: ``card.json`` and ``weights.safetensors`` in a folder or an ``.alnmodel`` zip.

Data, never code: JSON and plain arrays are read, and no class is looked up from the file.
"""

from __future__ import annotations

import hashlib
import lzma
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors
import safetensors.numpy

from napari_aln.errors import BundleError, StoreError
from napari_aln.mil.bundle_names import BUNDLE_SUFFIX, CARD_NAME, WEIGHTS_NAME
from napari_aln.mil.card import COUNTER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

MAX_CARD_BYTES = 1 << 20
MAX_WEIGHTS_BYTES = 6 << 30  # the largest encoders of pathology have 1.1 billion weights, in fp32 4.3 GB
_MEMBERS = {CARD_NAME: MAX_CARD_BYTES, WEIGHTS_NAME: MAX_WEIGHTS_BYTES}
_DAMAGED = "Ask for the bundle again: it is damaged or was changed after it was made."
MOST_UNFOLDING = 50  # times its own bytes: weights hardly compress, and a bomb would fill the memory
_ENCRYPTED = 0x1  # bit of a zip member's flags


def read_bundle_file(path: Path) -> tuple[bytes, bytes]:
    """Return the card's JSON and the weights of a bundle as they lie there, no larger than they may be.

    Raises
    ------
    BundleError
        There is no bundle, or it is damaged; names the file and the fact.
    """
    path = Path(path)
    if path.is_dir():
        parts = _read_folder(path)
    elif path.is_file():
        parts = _read_zip(path)
    else:
        raise BundleError(f"There is no model bundle at {path}.", "Check the path.")
    return parts[CARD_NAME], parts[WEIGHTS_NAME]


def checked_tensors(weights: bytes, sha256: str, path: Path) -> dict[str, NDArray[Any]]:
    """Return the weights' tensors by name.

    Raises
    ------
    BundleError
        The SHA-256 is not the card's, or they are no finite fp16 or fp32 safetensors.
    """
    found = hashlib.sha256(weights).hexdigest()
    if found != sha256:
        raise BundleError(
            f"The weights of {path} have SHA-256 {found[:12]}…, the card says {sha256[:12]}….", _DAMAGED
        )
    return _parse_weights(weights, path)


def packed(tensors: Mapping[str, Any], dtype: str) -> dict[str, NDArray[Any]]:
    """Return tensors as a bundle stores them: matrices as fp32 or fp16, vectors always as fp32.

    Raises
    ------
    BundleError
        Some are not finite, also after rounding.
    """
    return {key: _stored(key, value, dtype) for key, value in tensors.items() if not key.endswith(COUNTER)}


def write_bundle_file(card_json: bytes, weights: bytes, path: Path) -> None:
    """Write a new ``.alnmodel`` file, or a folder (any other suffix), in one move.

    Raises
    ------
    BundleError
        See `refuse_foreign_bundle`.
    StoreError
        The place cannot be written.
    """
    try:
        _write(card_json, weights, path)
    except OSError as error:
        raise StoreError(
            f"The bundle {path} cannot be written: {error.strerror or error}.",
            "Choose a place that is writable and has room, or another name.",
        ) from error


def _write(card_json: bytes, weights: bytes, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as temporary:
        made = Path(temporary) / f"new{path.suffix}"
        if path.suffix == BUNDLE_SUFFIX:
            with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as archive:  # weights hardly compress
                archive.writestr(CARD_NAME, card_json)
                archive.writestr(WEIGHTS_NAME, weights)
        else:
            made.mkdir()
            (made / CARD_NAME).write_bytes(card_json)
            (made / WEIGHTS_NAME).write_bytes(weights)
        old = Path(temporary) / "old"
        refuse_foreign_bundle(path)
        if path.is_dir():
            path.rename(old)  # a folder cannot be replaced in one call
        try:
            made.replace(path)
        except OSError:
            if old.exists():
                old.rename(path)
            raise


def refuse_foreign_bundle(path: Path) -> None:
    """Refuse a place for a bundle where something else stands; asked before long work as well.

    Raises
    ------
    BundleError
        A folder of something else stands there.
    StoreError
        A file stands where a folder would go.
    """
    if path.suffix != BUNDLE_SUFFIX and path.is_file():
        raise StoreError(
            f"The bundle {path} cannot be written: that is a file, and the bundle would be a folder.",
            f"Choose a new name for the bundle, or let it end in {BUNDLE_SUFFIX}.",
        )
    if path.is_dir() and {item.name for item in path.iterdir()} - set(_MEMBERS):
        raise BundleError(
            f"{path} is a folder that holds other files than a bundle's.", "Choose a new name for the bundle."
        )


def _stored(key: str, value: Any, dtype: str) -> NDArray[Any]:  # noqa: ANN401 - torch tensor or array
    array = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
    # Biases and BatchNorm statistics stay fp32: they weigh nothing, and variances may leave fp16's range.
    half = dtype == "fp16" and array.ndim >= 2
    with np.errstate(over="ignore"):  # an overflow becomes inf and is named below
        array = np.ascontiguousarray(array, dtype=np.float16 if half else np.float32)
    if not np.isfinite(array).all():
        raise BundleError(
            f"Tensor {key} holds values that are not finite as {array.dtype}.",
            "Save as fp32, or train again with a lower learning rate.",
        )
    return array


def _read_folder(path: Path) -> dict[str, bytes]:
    parts = {}
    for name, limit in _MEMBERS.items():
        part = path / name
        if not part.is_file():
            raise BundleError(
                f"{path} holds no {name}, so it is no model bundle.", "Choose a bundle's own folder."
            )
        if part.stat().st_size > limit:
            raise BundleError(f"{part} is larger than a bundle's may be ({limit} bytes).", _DAMAGED)
        parts[name] = _read_bytes(part)
    return parts


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}.", "Check its permissions.") from error


def _read_zip(path: Path) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(archive, path)
            return {name: _read_member(archive, name) for name in _MEMBERS}
    except (
        zipfile.BadZipFile,
        zipfile.LargeZipFile,
        zlib.error,
        lzma.LZMAError,
        EOFError,
        OSError,
        ValueError,
        NotImplementedError,
    ) as error:
        if isinstance(error, BundleError):
            raise
        raise BundleError(f"{path} is no readable {BUNDLE_SUFFIX} file: {error}.", _DAMAGED) from error


def _check_members(archive: zipfile.ZipFile, path: Path) -> None:
    names = [member.filename for member in archive.infolist()]
    if sorted(names) != sorted(_MEMBERS):
        if any(name.endswith("data.pkl") for name in names):
            raise BundleError(
                f"{path} is a PyTorch checkpoint (a pickle), not a model bundle.",
                "Import it with `napari-aln model import-balnmp`.",
            )
        holds = ", ".join(names[:5]) or "nothing"
        raise BundleError(
            f"{path} must hold exactly {CARD_NAME} and {WEIGHTS_NAME} but holds: {holds}.",
            _DAMAGED,
        )
    for member in archive.infolist():
        if member.flag_bits & _ENCRYPTED:
            raise BundleError(f"{path} is encrypted.", "Unpack it with its password and open the folder.")
        if member.file_size > _most_bytes(member):
            raise BundleError(f"{member.filename} in {path} claims {member.file_size} bytes.", _DAMAGED)


def _most_bytes(member: zipfile.ZipInfo) -> int:
    unfolded = MAX_CARD_BYTES + MOST_UNFOLDING * member.compress_size
    return min(_MEMBERS[member.filename], unfolded)


def _read_member(archive: zipfile.ZipFile, name: str) -> bytes:
    limit = _most_bytes(archive.getinfo(name))
    with archive.open(name) as part:
        data = part.read(limit + 1)  # what the directory claims need not be what unpacks
    if len(data) > limit:
        raise ValueError(f"{name} unpacks to more than {limit} bytes")
    return data


def _parse_weights(weights: bytes, path: Path) -> dict[str, NDArray[Any]]:
    try:
        tensors: dict[str, NDArray[Any]] = safetensors.numpy.load(weights)
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
        raise BundleError(f"{WEIGHTS_NAME} of {path} is not safetensors: {error}.", _DAMAGED) from error
    for key, array in tensors.items():
        if array.dtype not in (np.float16, np.float32):
            raise BundleError(f"Tensor {key} of {path} is {array.dtype}, not fp16 or fp32.", _DAMAGED)
        if not np.isfinite(array).all():
            raise BundleError(f"Tensor {key} of {path} holds NaN or infinity.", "Ask its maker for another.")
    return tensors
