"""Tables of patients that lie, compute or are damaged."""

import io
import zipfile
from collections.abc import Iterator

import numpy as np
from broken_annotations import LAUGHS, OUTSIDE
from broken_bundles import zipped
from broken_bytes import damaged
from broken_json import Hostile
from broken_records import odd_parquet

_HEADER = "patient_id,slide,roi,mpp,age_years,tumor_size_cm,er,pr,her2,n_positive_nodes,aln_class,label,split"
SOUND_TABLE = f"""{_HEADER}
007,a.svs,a.geojson,0.25,51,2.3,+,-,unknown,0,N0,N0,train
008,b.svs,,,62,1.1,-,-,+,3,N+(>2),N(+),test
""".encode()
FORMULAS = (
    "=1+1",
    "+1",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "=cmd|' /C calc'!A0",
    ' "=1"',
    "＝1",
    "a;=1",
    "a\n=1",
)


def crafted_tables() -> Iterator[Hostile]:
    row = "007,a.svs,,0.25,51,2.3,+,-,unknown,0,N0,N0,train"
    cells = row.split(",")
    odd = (
        "nan",
        "inf",
        "-inf",
        "1e400",
        "9" * 5000,
        "\0",
        "\ud800".encode("utf-8", "replace").decode(),
        "1_0",
        "٣",
        "0x10",
        "1" * 200_000,
        "a\0b",
        "../../../etc/passwd",
        "true",
        "None",
        *FORMULAS,
    )
    for place, column in enumerate(_HEADER.split(",")):
        for cell in odd:
            quoted = '"' + cell.replace('"', '""') + '"'
            changed = ",".join([*cells[:place], quoted, *cells[place + 1 :]])
            yield Hostile(
                f"cell-{column}-{cell[:20]!r}",
                "cohort",
                {"c.csv": f"{_HEADER}\n{changed}\n".encode()},
                "c.csv",
            )
    texts = {
        "empty": b"",
        "bom": b"\xef\xbb\xbf",
        "no-utf8": b"patient_id\n\xff\n",
        "nul": b"patient_id\0\n1\n",
        "open-quote": b'patient_id\n"' + b"a" * 300_000,
        "wide": b"patient_id" + b"," * 200_000 + b"\n1\n",
        "twice": b"patient_id,patient_id\n1,2\n",
        "long": _HEADER.encode() + b"\n" + row.encode() * 3000,
        "utf16": SOUND_TABLE.decode().encode("utf-16"),
        "alone": b"patient_id\n\n\n",
    }
    yield from (
        Hostile(f"table-{label}", "cohort", {"c.csv": content}, "c.csv") for label, content in texts.items()
    )
    bomb = b"<x>" + b"0" * 250_000_000 + b"</x>"
    yield from (
        Hostile(f"workbook-{label}", "cohort", {"c.xlsx": content}, "c.xlsx")
        for label, content in {
            "bomb": zipped({"xl/workbook.xml": bomb}, zipfile.ZIP_DEFLATED),
            "empty-zip": zipped({}),
            "text": b"patient_id",
            "laughs": _workbook(LAUGHS),
            "outside": _workbook(OUTSIDE),
            "deep": _workbook(b"<a>" * 5000),
            "far-cell": _workbook(None, b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'),
            "odd-cell": _workbook(None, b'<row r="x"><c r="A1" t="s"><v>999</v></c></row>'),
        }.items()
    )


def _workbook(sheet: bytes | None, rows: bytes = b"") -> bytes:
    from openpyxl import Workbook

    out = io.BytesIO()
    book = Workbook()
    book.active.append(["patient_id"])
    book.active.append(["1"])
    book.save(out)
    with zipfile.ZipFile(out) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    name = "xl/worksheets/sheet1.xml"
    parts[name] = parts[name].replace(b"</sheetData>", rows + b"</sheetData>") if sheet is None else sheet
    return zipped(parts)


def odd_table(rng: np.random.Generator, parquet: bytes, workbook: bytes) -> Hostile:
    kind = rng.integers(4)
    if kind == 0:
        return Hostile("table", "cohort", {"c.csv": damaged(SOUND_TABLE, rng, 120)}, "c.csv")
    if kind == 1:
        return Hostile("table", "cohort", {"c.xlsx": damaged(workbook, rng, len(workbook))}, "c.xlsx")
    content = odd_parquet(parquet, rng) if kind == 2 else damaged(parquet, rng, len(parquet))
    return Hostile("table", "cohort", {"c.parquet": content}, "c.parquet")
