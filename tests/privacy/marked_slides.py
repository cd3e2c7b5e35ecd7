"""Slides that carry a person's name in every place their format has for one."""

import io
import struct

import numpy as np
import tifffile
from PIL import Image
from tests_shared import MPP

MARK = "Qwertzia"
"""Stands in everything that is planted; occurs nowhere else."""

SERIES_NUMBER = "4711998877"
"""Stands in every DICOM identifier of study, series and instance: they lead to the patient."""

BIRTH_DATE = "19610203"

LABEL_RGB = (10, 250, 10)
"""The colour of label and macro, which no tissue has."""


def _planted(place):
    return f"{MARK} {place}"


def _label(height, width):
    return np.full((height, width, 3), LABEL_RGB, np.uint8)


TEXT_TAGS = {
    "DocumentName": 269,
    "Make": 271,
    "Model": 272,
    "PageName": 285,
    "DateTime": 306,
    "Artist": 315,
    "HostComputer": 316,
    "Copyright": 33432,
    "ImageID": 32781,
}


def _text_tags():
    tags = [(code, "s", 0, _planted(name), True) for name, code in TEXT_TAGS.items()]
    return [*tags, (700, "B", None, f"<x:xmpmeta>{_planted('XMP')}</x:xmpmeta>".encode(), True)]


def write_svs(path, rgb):
    """Write an Aperio slide: names in the description, the tags, the label and the macro."""
    height, width = rgb.shape[:2]
    about = (
        f"Aperio Image Library v11.2.1\r\n{width}x{height} [0,0 {width}x{height}] (256x256) JPEG/RGB Q=90"
        f"|AppMag = 20|MPP = {MPP}|Filename = {_planted('Filename')}|Title = {_planted('Title')}"
        f"|User = {_planted('User')}|Patient = {_planted('Patient')}|Barcode = {_planted('Barcode')}"
        f"|ImageID = {_planted('ImageID')}|ScanScope ID = {_planted('ScanScope')}"
    )
    jpeg = {"compression": "jpeg", "photometric": "rgb", "metadata": None, "software": _planted("Software")}
    strips = {**jpeg, "compression": None, "rowsperstrip": 16}
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(rgb, tile=(256, 256), description=about, extratags=_text_tags(), **jpeg)
        tiff.write(rgb[::8, ::8], description="Aperio Image Library v11.2.1\r\nthumbnail", **strips)
        tiff.write(rgb[::2, ::2], tile=(256, 256), description="Aperio Image Library v11.2.1\r\n", **jpeg)
        for name, kind in (("label", 1), ("macro", 9)):
            text = f"Aperio Image Library v11.2.1\r\n{name} 96x64|Barcode = {_planted(name)}"
            tiff.write(_label(64, 96), description=text, subfiletype=kind, **strips)


def write_tiff(path, rgb):
    """Write a generic tiled TIFF with names in all its text tags."""
    where = {"resolution": (1e4 / MPP, 1e4 / MPP), "resolutionunit": "CENTIMETER"}
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(
            rgb,
            tile=(256, 256),
            compression="jpeg",
            photometric="rgb",
            metadata=None,
            description=_planted("ImageDescription"),
            software=_planted("Software"),
            extratags=_text_tags(),
            **where,
        )


def write_ome(path, rgb):
    """Write an OME-TIFF with names in the XML that belongs to it."""
    about = {"axes": "YXS", "PhysicalSizeX": MPP, "PhysicalSizeY": MPP, "Name": _planted("Name")}
    about |= {"Description": _planted("Description"), "UUID": _planted("UUID")}
    with tifffile.TiffWriter(path, ome=True) as tiff:
        tiff.write(rgb, tile=(256, 256), compression="jpeg", photometric="rgb", metadata=about)


def write_jpeg(path, rgb):
    """Write a flat JPEG with names in EXIF and the comment."""
    exif = Image.Exif()
    for name in ("Artist", "HostComputer", "DocumentName", "Copyright", "DateTime"):
        exif[TEXT_TAGS[name]] = _planted(name)
    exif[270] = _planted("ImageDescription")
    Image.fromarray(rgb).save(path, "JPEG", quality=90, exif=exif, comment=_planted("comment").encode())


def write_dicom(folder, rgb):
    """Write a DICOM whole slide image, one level of JPEG tiles, names in every element that may hold one."""
    tile = 256
    height, width = (side // tile * tile for side in rgb.shape[:2])
    frames = [
        _jpeg(rgb[y : y + tile, x : x + tile]) for y in range(0, height, tile) for x in range(0, width, tile)
    ]
    folder.mkdir()
    uid = f"1.2.826.0.1.{SERIES_NUMBER}"
    spacing_mm = f"{MPP / 1000:.6f}"
    measures = _element(0x0018, 0x0050, "DS", "0.001")
    measures += _element(0x0028, 0x0030, "DS", rf"{spacing_mm}\{spacing_mm}")
    shared = _sequence(0x0028, 0x9110, measures)
    path_of_light = _element(0x0048, 0x0106, "SH", "1")
    elements = [
        (0x0008, 0x0008, "CS", r"ORIGINAL\PRIMARY\VOLUME\NONE"),
        (0x0008, 0x0016, "UI", "1.2.840.10008.5.1.4.1.1.77.1.6"),
        (0x0008, 0x0018, "UI", f"{uid}.3"),
        (0x0008, 0x0020, "DA", BIRTH_DATE),
        (0x0008, 0x0050, "SH", _planted("Accessio")),
        (0x0008, 0x0060, "CS", "SM"),
        (0x0008, 0x0080, "LO", _planted("InstitutionName")),
        (0x0008, 0x0090, "PN", f"{MARK}^Referring"),
        (0x0008, 0x1010, "SH", _planted("Station")),
        (0x0008, 0x1030, "LO", _planted("StudyDescription")),
        (0x0008, 0x103E, "LO", _planted("SeriesDescription")),
        (0x0008, 0x1070, "PN", f"{MARK}^Operator"),
        (0x0010, 0x0010, "PN", f"{MARK}^Patient"),
        (0x0010, 0x0020, "LO", _planted("PatientID")),
        (0x0010, 0x0030, "DA", BIRTH_DATE),
        (0x0010, 0x4000, "LT", _planted("PatientComments")),
        (0x0020, 0x000D, "UI", f"{uid}.1"),
        (0x0020, 0x000E, "UI", f"{uid}.2"),
        (0x0020, 0x0010, "SH", _planted("StudyID")),
        (0x0020, 0x0011, "IS", "1"),
        (0x0020, 0x0013, "IS", "1"),
        (0x0020, 0x0052, "UI", f"{uid}.4"),
        (0x0020, 0x4000, "LT", _planted("ImageComments")),
        (0x0020, 0x9311, "CS", "TILED_FULL"),
        (0x0028, 0x0002, "US", 3),
        (0x0028, 0x0004, "CS", "YBR_FULL_422"),
        (0x0028, 0x0006, "US", 0),
        (0x0028, 0x0008, "IS", str(len(frames))),
        (0x0028, 0x0010, "US", tile),
        (0x0028, 0x0011, "US", tile),
        (0x0028, 0x0100, "US", 8),
        (0x0028, 0x0101, "US", 8),
        (0x0028, 0x0102, "US", 7),
        (0x0028, 0x0103, "US", 0),
        (0x0040, 0x0512, "LO", _planted("ContainerIdentifier")),
        (0x0048, 0x0006, "UL", width),
        (0x0048, 0x0007, "UL", height),
    ]
    body = b"".join(_element(*element) for element in elements)
    body += _sequence(0x0048, 0x0105, path_of_light)
    body += _sequence(0x5200, 0x9229, shared)
    body += _pixel_data(frames)
    meta = _element(0x0002, 0x0001, "OB", b"\0\1")
    meta += _element(0x0002, 0x0002, "UI", "1.2.840.10008.5.1.4.1.1.77.1.6")
    meta += _element(0x0002, 0x0003, "UI", f"{uid}.3")
    meta += _element(0x0002, 0x0010, "UI", "1.2.840.10008.1.2.4.50")
    meta += _element(0x0002, 0x0012, "UI", "1.2.826.0.1.1")
    head = b"\0" * 128 + b"DICM" + _element(0x0002, 0x0000, "UL", len(meta))
    (folder / f"{uid}.3.dcm").write_bytes(head + meta + body)


def _jpeg(rgb):
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=90, subsampling="4:2:2")
    return buffer.getvalue()


def _element(group, element, kind, value):
    if isinstance(value, str):
        value = value.encode()
        value += (b"\0" if kind == "UI" else b" ") * (len(value) % 2)
    elif isinstance(value, int):
        value = struct.pack("<H" if kind == "US" else "<I", value)
    head = struct.pack("<HH", group, element) + kind.encode()
    long = kind in ("OB", "SQ")
    return head + (struct.pack("<HI", 0, len(value)) if long else struct.pack("<H", len(value))) + value


def _sequence(group, element, item):
    return _element(group, element, "SQ", struct.pack("<HHI", 0xFFFE, 0xE000, len(item)) + item)


def _pixel_data(frames):
    data = struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF)
    data += struct.pack("<HHI", 0xFFFE, 0xE000, 0)  # no offset table
    for frame in frames:
        even = frame + b"\0" * (len(frame) % 2)
        data += struct.pack("<HHI", 0xFFFE, 0xE000, len(even)) + even
    return data + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
