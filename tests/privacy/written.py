"""Every byte that was written, also inside what is packed, compressed or drawn."""

import base64
import binascii
import contextlib
import io
import re
import zipfile
import zlib

import numpy as np
import pyarrow.parquet as pq
import tifffile
from marked_slides import BIRTH_DATE, LABEL_RGB, MARK, SERIES_NUMBER
from PIL import Image

_BASE64 = re.compile(rb"[A-Za-z0-9+/]{64,}={0,2}")
_MARKS = (MARK, SERIES_NUMBER, BIRTH_DATE)
_ENCODINGS = ("utf-8", "utf-16-le", "utf-16-be")
_FEW_PX = 20


def leaks(root):
    """Return where below a folder a mark stands or the label is drawn, as (file, how it was found)."""
    found = []
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        found += [(name, "its name")] if _is_marked(name.encode()) else []
        if path.is_file():
            found += [(name, how) for how in _of(path.read_bytes(), "its bytes")]
    return found


def _is_marked(content):
    lower = content.lower()
    return any(mark.lower().encode(code) in lower for mark in _MARKS for code in _ENCODINGS)


def _of(content, how):
    if _is_marked(content):
        yield how
    if content[:4] == b"PK\3\4":
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            for name in packed.namelist():
                if _is_marked(name.encode()):
                    yield f"{how} > the name {name}"
                yield from _of(packed.read(name), f"{how} > {name}")
    elif content[:4] == b"PAR1":
        table = pq.read_table(io.BytesIO(content))
        if _is_marked(repr([table.to_pydict(), table.schema.metadata]).encode()):
            yield f"{how} > a column or the metadata"
    elif content[:4] in (b"II*\0", b"II+\0"):
        yield from _in_tiff(content, how)
    elif content[:8] == b"\x89PNG\r\n\x1a\n" or content[:3] == b"\xff\xd8\xff":
        yield from _in_picture(content, how)
    else:
        for part in _BASE64.findall(content):
            yield from _in_base64(part, f"{how} > base64")


def _in_base64(part, how):
    try:
        plain = base64.b64decode(part, validate=True)
    except binascii.Error:
        return
    with contextlib.suppress(zlib.error):
        plain = zlib.decompress(plain)
    yield from _of(plain, how)


def _in_tiff(content, how):
    with tifffile.TiffFile(io.BytesIO(content)) as tiff:
        for page in tiff.pages:
            for tag in page.tags:
                if _is_marked(repr(tag.value).encode()):
                    yield f"{how} > TIFF tag {tag.name}"
            if page.dtype == np.uint8 and _shows_label(page.asarray()):
                yield f"{how} > the label, drawn"


def _in_picture(content, how):
    with Image.open(io.BytesIO(content)) as picture:
        picture.load()
        facts = [picture.info, dict(picture.getexif()), getattr(picture, "text", {})]
        if _is_marked(repr(facts).encode()):
            yield f"{how} > text of the picture"
        if _shows_label(np.asarray(picture.convert("RGB"))):
            yield f"{how} > the label, drawn"


def _shows_label(rgb):
    if rgb.ndim != 3 or rgb.shape[2] < 3:
        return False
    apart = np.abs(rgb[..., :3].astype(int) - LABEL_RGB).max(axis=2)
    return bool((apart < 40).sum() > _FEW_PX)
