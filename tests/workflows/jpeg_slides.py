"""Small JPEG slides as scanners and tifffile write them, and how to spoil a tile of one."""

import imagecodecs
import numpy as np
import tifffile
from tests_shared import MPP

SIZE_PX = (701, 533)  # six by five tiles of 128 px, none whole at the right and lower edge


def texture(seed=0):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(60, 255, (SIZE_PX[1] // 8 + 1, SIZE_PX[0] // 8 + 1, 3), np.uint8)
    return coarse.repeat(8, 0).repeat(8, 1)[: SIZE_PX[1], : SIZE_PX[0]]


def write(path, rgb=None, **keywords):
    options = {"tile": (128, 128), "compression": "jpeg", "photometric": "rgb"} | keywords
    resolution = {"resolution": (1e4 / MPP, 1e4 / MPP), "resolutionunit": "CENTIMETER"}
    tifffile.imwrite(path, texture() if rgb is None else rgb, metadata=None, **resolution, **options)
    return path


def with_shared_tables(path):
    """Write a TIFF whose tiles are abbreviated JPEGs of red, green and blue, as scanners write them."""
    rgb = np.pad(texture(), ((0, 640 - SIZE_PX[1]), (0, 768 - SIZE_PX[0]), (0, 0)))
    tables, segments = b"", []
    for row in range(5):
        for column in range(6):
            tile = np.ascontiguousarray(rgb[row * 128 :, column * 128 :][:128, :128])
            jpeg = imagecodecs.jpeg_encode(tile, level=90, colorspace=2, outcolorspace=2, subsampling="444")
            tables, segment = split_tables(jpeg)
            segments.append(segment)
    tifffile.imwrite(
        path,
        iter(segments),
        shape=(*SIZE_PX[::-1], 3),
        dtype=np.uint8,
        tile=(128, 128),
        photometric="rgb",
        compression="jpeg",
        jpegtables=tables,
        resolution=(1e4 / MPP, 1e4 / MPP),
        resolutionunit="CENTIMETER",
        metadata=None,
    )
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        tiff.pages[0].tags["PhotometricInterpretation"].overwrite(
            2
        )  # tifffile takes all colour JPEG for YCbCr
    return path


def split_tables(jpeg):
    """Move a JPEG's tables into a stream of their own; nothing that is left tells its colours."""
    tables, rest, at = b"", b"", 2
    while True:
        marker, length = jpeg[at + 1], int.from_bytes(jpeg[at + 2 : at + 4], "big")
        part = bytearray(jpeg[at : at + 2 + length])
        at += 2 + length
        if marker in (0xDB, 0xC4):  # quantization and Huffman tables
            tables += part
        elif marker == 0xC0:  # frame: number the components instead of naming them R, G and B
            part[10::3] = range(3)
            rest += part
        elif marker == 0xDA:  # scan, then data
            part[5:11:2] = range(3)
            return b"\xff\xd8" + tables + b"\xff\xd9", b"\xff\xd8" + rest + part + jpeg[at:]


def segment_of(path, index):
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        return page.dataoffsets[index], page.databytecounts[index]


def set_byte_count(path, index, value):
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        page = tiff.pages[0]
        counts = list(page.databytecounts)
        counts[index] = value
        page.tags["TileByteCounts"].overwrite(counts)
