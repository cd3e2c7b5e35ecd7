"""Slides that lie: cut and flipped ones, absurd sizes, bombs, pages in a circle, tags that hold nonsense."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import tifffile
from broken_bytes import damaged, deflated_zeros
from PIL import Image

_APERIO = "Aperio Image Library v1.0\r\n{} [0,0 {}] ({}x{}) JPEG/RGB Q=70|AppMag = 20|MPP = 0.499"


def sound_slides(folder: Path, data: Path) -> dict[str, Path]:
    """Write small sound slides of all kinds; of DICOM there is one only where the real slides lie at hand."""
    rgb = _textured(600, 470)
    jpeg = {"tile": (128, 128), "compression": "jpeg", "photometric": "rgb"}
    half, quarter = rgb[::2, ::2], rgb[::4, ::4]
    _tiff(folder / "pyramid.tif", [rgb, half, quarter], jpeg)
    _tiff(folder / "big.tif", [rgb, half], jpeg, bigtiff=True)
    _tiff(folder / "deflate.tif", [rgb, half], {"tile": (128, 128), "compression": "zlib"})
    _tiff(folder / "lzw.tif", [rgb, half], {"tile": (128, 128), "compression": "lzw"})
    _tiff(folder / "j2k.tif", [rgb], {"tile": (256, 256), "compression": "jpeg2000"})
    _tiff(folder / "strips.tif", [rgb], {"compression": "packbits", "rowsperstrip": 32})
    _tiff(
        folder / "planes.tif", [rgb], {"tile": (128, 128), "planarconfig": "separate", "photometric": "rgb"}
    )
    tifffile.imwrite(
        folder / "ome.ome.tif",
        rgb,
        photometric="rgb",
        tile=(128, 128),
        compression="zlib",
        metadata={"axes": "YXS", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5},
    )
    _svs(folder / "aperio.svs", rgb)
    Image.fromarray(rgb).save(folder / "flat.jpg", quality=80)
    Image.fromarray(rgb).save(folder / "progressive.jpg", quality=80, progressive=True)
    Image.fromarray(rgb[:200, :300]).save(folder / "flat.png")
    sound = {path.name: path for path in folder.iterdir()}
    real = data / "slides"
    if real.is_dir():
        pages = sorted(
            (real / "cmu-1-small-region-dicom").glob("*.dcm"), key=lambda page: page.stat().st_size
        )
        sound |= {"real.svs": real / "CMU-1-Small-Region.svs", "one.dcm": pages[0], "level.dcm": pages[1]}
    return sound


def _textured(width: int, height: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    noise = np.random.default_rng(1).normal(0, 20, (height, width, 3))
    waves = np.stack([np.sin(x / 17), np.sin(y / 23), np.sin((x + y) / 31)], axis=-1)
    return np.clip(noise + 60 * waves + 150, 0, 255).astype(np.uint8)


def _tiff(path: Path, levels, keywords, **writer) -> None:
    with tifffile.TiffWriter(path, **writer) as tiff:
        for index, pixels in enumerate(levels):
            resolution = (20_000 / 2**index,) * 2
            tiff.write(
                pixels,
                subfiletype=int(index > 0),
                metadata=None,
                resolution=resolution,
                resolutionunit="CENTIMETER",
                **keywords,
            )


def _svs(path: Path, rgb: np.ndarray) -> None:
    """Write what OpenSlide takes for an Aperio slide: two levels, a thumbnail, a label, a macro."""
    height, width = rgb.shape[:2]
    size = f"{width}x{height}"
    with tifffile.TiffWriter(path) as tiff:
        plain = {"metadata": None, "photometric": "rgb"}
        about = _APERIO.format(size, size, 128, 128)
        tiff.write(rgb, tile=(128, 128), compression="jpeg", description=about, **plain)
        tiff.write(
            rgb[::6, ::6], rowsperstrip=16, compression="jpeg", description="Aperio thumbnail", **plain
        )
        tiff.write(rgb[::4, ::4], tile=(128, 128), compression="jpeg", description=about, **plain)
        tiff.write(
            rgb[:80, :90], rowsperstrip=20, compression="lzw", description="Aperio\r\nlabel 1", **plain
        )
        tiff.write(
            rgb[:90, :80], rowsperstrip=20, compression="jpeg", description="Aperio\r\nmacro 1", **plain
        )


def damaged_slide(sound: Path, rng: np.random.Generator, path: Path) -> Path:
    """Write a damaged copy: half of the TIFFs by a lying tag, the rest by bytes."""
    content = sound.read_bytes()
    is_tiff = content[:4] in (b"II*\0", b"II+\0")
    if is_tiff and rng.random() < 0.5:
        for _ in range(rng.integers(1, 3)):
            content = _lying_tag(content, rng)
    else:
        head = 4096 if not is_tiff else 1024
        content = damaged(content, rng, head)
    path = path.with_name(f"{path.name}-{sound.name}")
    path.write_bytes(content)
    return path


_TAGS = (
    254,
    256,
    257,
    258,
    259,
    262,
    270,
    273,
    277,
    278,
    279,
    282,
    284,
    317,
    322,
    323,
    324,
    325,
    330,
    338,
    347,
    530,
)
_VALUES = (
    0,
    1,
    2,
    3,
    5,
    7,
    8,
    16,
    32,
    255,
    1000,
    4097,
    32773,
    33003,
    50001,
    65535,
    2**20,
    2**31 - 1,
    2**31,
    2**32 - 1,
)


def tags_of(content: bytes) -> list[tuple[int, int, int]]:
    """Return (tag, place of its entry, page) of a little-endian TIFF; tag 0 is the next page."""
    big = content[2] == 43
    counts, size, entry = ("<Q", "<Q", 20) if big else ("<H", "<I", 12)
    (at,) = struct.unpack_from(size, content, 8 if big else 4)
    found, page = [], 0
    while 0 < at < len(content) - 8 and page < 32:
        (n,) = struct.unpack_from(counts, content, at)
        first = at + struct.calcsize(counts)
        if first + n * entry + 8 > len(content):
            break
        found += [
            (struct.unpack_from("<H", content, first + i * entry)[0], first + i * entry, page)
            for i in range(n)
        ]
        found.append((0, first + n * entry, page))
        (at,) = struct.unpack_from(size, content, first + n * entry)
        page += 1
    return found


def with_tag(content: bytes, tag: int, value: int, page: int = 0, *, kind: int = 4, count: int = 1) -> bytes:
    """Return a TIFF whose tag says something else; tag 0 is where the next page lies."""
    changed, big = bytearray(content), content[2] == 43
    for known, at, of_page in tags_of(content):
        if (known, of_page) == (tag, page):
            if tag == 0:
                struct.pack_into("<Q" if big else "<I", changed, at, value)
            else:
                struct.pack_into("<HHQQ" if big else "<HHII", changed, at, tag, kind, count, value)
    return bytes(changed)


def _lying_tag(content: bytes, rng: np.random.Generator) -> bytes:
    there = [entry for entry in tags_of(content) if entry[0] in _TAGS or entry[0] == 0]
    if not there:
        return content
    tag, _, page = there[rng.integers(len(there))]
    if tag == 0:
        pages = [at for known, at, _ in tags_of(content) if known]
        return with_tag(content, 0, int(rng.choice([*pages, 8, len(content) - 2, 2**31])), page)
    kind, count = int(rng.choice((1, 3, 4, 4, 4, 5, 13))), int(rng.choice((1, 1, 1, 1, 2, 0, 70000, 2**31)))
    return with_tag(content, tag, int(rng.choice(_VALUES)), page, kind=kind, count=count)


def _png(width: int, height: int, rows: bytes) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def _jpeg_of(width: int, height: int) -> bytes:
    """Return a JPEG of 16 px that claims another size."""
    out = io.BytesIO()
    Image.new("RGB", (16, 16), (200, 150, 180)).save(out, "JPEG")
    content = bytearray(out.getvalue())
    start = content.index(b"\xff\xc0")
    struct.pack_into(">HH", content, start + 5, height, width)
    return bytes(content)


def _sparse(width: int, height: int, tile: int, path: Path) -> bytes:
    """Return a TIFF of missing tiles: kilobytes that claim any size."""
    shape = {"shape": (tile, tile, 3), "dtype": np.uint8, "tile": (tile, tile), "metadata": None}
    one = iter([deflated_zeros(tile * tile * 3)])
    tifffile.imwrite(path, one, photometric="rgb", compression="zlib", **shape)
    content = path.read_bytes()
    n = -(-width // tile) * -(-height // tile)
    table = len(content)
    content += bytes(4 * n)
    for tag, value, count in ((256, width, 1), (257, height, 1), (324, table, n), (325, table, n)):
        content = with_tag(content, tag, value, count=count)
    return content


def crafted_slides(sound: dict[str, Path], folder: Path):
    """Yield (name, bytes) of slides made to do harm."""
    pyramid, aperio, deflate = (
        sound[name].read_bytes() for name in ("pyramid.tif", "aperio.svs", "deflate.tif")
    )
    first = struct.unpack_from("<I", pyramid, 4)[0]
    yield "page-names-itself.tif", with_tag(pyramid, 0, first)
    yield "last-page-names-first.tif", with_tag(pyramid, 0, first, 2)
    yield "pages-in-a-circle.svs", with_tag(aperio, 0, struct.unpack_from("<I", aperio, 4)[0], 4)
    yield (
        "sub-pages-in-a-circle.tif",
        with_tag(pyramid, 254, first, kind=13).replace(b"\xfe\0\x0d\0", b"\x4a\x01\x0d\0", 1),
    )
    for name, content in (("pyramid", pyramid), ("aperio", aperio), ("deflate", deflate)):
        for tag, what in ((256, "width"), (257, "height"), (322, "tile-width"), (323, "tile-height")):
            for value in (0, 1, 4_999_999, 2**31 - 1, 2**32 - 1):
                yield f"{name}-{what}-{value}.tif", with_tag(content, tag, value)
        yield f"{name}-all-absurd.tif", with_tag(with_tag(content, 256, 2**31 - 1), 257, 2**31 - 1)
    yield "sparse-million.tif", _sparse(999_000, 999_000, 8192, folder / "sparse")
    yield "sparse-five-million.tif", _sparse(4_999_000, 4_999_000, 16384, folder / "sparse")
    yield "sparse-line.tif", _sparse(4_999_000, 100, 256, folder / "sparse")
    bomb = deflated_zeros(12_000 * 12_000 * 3)
    yield "bomb.png", _png(12_000, 12_000, bomb)
    yield "bomb-small-claim.png", _png(30, 30, bomb)
    yield "huge-claim.png", _png(2**31 - 1, 2**31 - 1, zlib.compress(bytes(100)))
    for side in (65_500, 65_535, 40_000):
        yield f"claims-{side}.jpg", _jpeg_of(side, side)
    yield "no-pixels.jpg", _jpeg_of(0, 0)
    tile_bomb = deflated_zeros(2**28)
    at = len(deflate)
    longer = deflate + tile_bomb
    offsets = next(at for tag, at, page in tags_of(deflate) if (tag, page) == (324, 0))
    (table,) = struct.unpack_from("<I", deflate, offsets + 8)
    (lengths,) = struct.unpack_from("<I", deflate, offsets + 20)
    patched = bytearray(longer)
    struct.pack_into("<I", patched, table, at)
    struct.pack_into("<I", patched, lengths, len(tile_bomb))
    yield "tile-bomb.tif", bytes(patched)
    yield "text.svs", b"II*\0" + b"A" * 100
    yield "only-start.tif", pyramid[:8]
    yield (
        "entities.ome.tif",
        sound["ome.ome.tif"].read_bytes().replace(b"<?xml", b"<!DOCTYPE a [<!ENTITY b 'c'>]><?xml"[:5], 1),
    )
