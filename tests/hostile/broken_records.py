"""Results, sessions and work lists that lie or are damaged."""

import base64
import io
import json
import sqlite3
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from broken_bundles import safetensors
from broken_bytes import deflated_zeros
from broken_json import DEEP, Hostile, odd_json


def crafted_json(
    door: str, file: str, sound: bytes, opened: str, also: dict[str, bytes]
) -> Iterator[Hostile]:
    """Yield what may stand in place of a JSON document."""
    texts = {
        "empty": b"",
        "deep": b"[" * DEEP,
        "deep-members": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
        "number": b"1",
        "null": b"null",
        "list": b"[1, 2]",
        "no-utf8": b'{"a": "\xff"}',
        "utf16": "{}".encode("utf-16"),
        "nan": b"NaN",
        "long-number": b"9" * 10_000,
        "zeros": bytes(1000),
        "newer": json.dumps(json.loads(sound) | {"schema_version": 99, "version": 99}).encode(),
        "odd-version": json.dumps(json.loads(sound) | {"schema_version": "two"}).encode(),
        "list-version": json.dumps(json.loads(sound) | {"schema_version": [1]}).encode(),
        "no-version": json.dumps({k: v for k, v in json.loads(sound).items() if "version" not in k}).encode(),
    }
    for label, content in texts.items():
        yield Hostile(f"{door}-{label}", door, also | {file: content}, opened)


def crafted_sessions(sound: bytes) -> Iterator[Hostile]:
    session = json.loads(sound)

    def of(**fields) -> Hostile:
        label = "-".join(["session", *fields])
        return Hostile(
            label, "session", {"s.alnsession": json.dumps(session | fields).encode()}, "s.alnsession"
        )

    bomb = base64.b64encode(deflated_zeros(2**30)).decode()
    answer = session["answers"][0]
    yield of(answers=[answer | {"packed": bomb}])
    yield of(answers=[answer | {"packed": bomb}] * 3, chosen=[])
    yield of(answers=[answer | {"packed": None, "result_sha256": "../../escape"}])
    yield of(answers=[answer | {"packed": "é"}])
    yield of(mask={"shape": [30_000, 30_000], "tissue": bomb, "pen": bomb})
    yield of(mask={"shape": [-1, -1], "tissue": bomb, "pen": bomb}, shown=None)
    deep = current = {}
    for _ in range(500):
        current["a"] = current = {}
    yield of(window=deep)


def packed_with(content: bytes, rng: np.random.Generator) -> Hostile:
    """Return a packed result whose facts, or arrays, are not what they were."""
    length = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + length])
    if rng.random() < 0.6:
        about = odd_json(header["__metadata__"]["napari_aln"].encode(), rng).decode()
        header["__metadata__"]["napari_aln"] = about
        text = json.dumps(header).encode()
    else:
        text = odd_json(content[8 : 8 + length], rng)
    return Hostile("packed", "packed", {"r": safetensors(text, content[8 + length :])}, "r")


def parquet_bomb(content: bytes) -> bytes:
    """Return kilobytes that claim twenty million rows."""
    import pyarrow as pa
    from pyarrow import parquet

    table = parquet.read_table(pa.BufferReader(content)).slice(0, 1)
    out, footer = io.BytesIO(), io.BytesIO()
    n = 2 * 10**5
    many = pa.table([pa.chunked_array([_repeated(column, n)]) for column in table.columns], table.schema)
    parquet.write_table(many, out, row_group_size=n)
    told, group = parquet.read_metadata(out), parquet.read_metadata(out)
    for _ in range(99):  # the same bytes, a hundred times over
        told.append_row_groups(group)
    told.write_metadata_file(footer)
    (length,) = struct.unpack("<I", out.getvalue()[-8:-4])
    return out.getvalue()[: -8 - length] + footer.getvalue()[4:]


def _repeated(column, n: int):
    import pyarrow as pa

    return column.combine_chunks().take(pa.array(np.zeros(n, np.int64)))


def odd_parquet(content: bytes, rng: np.random.Generator) -> bytes:
    """Return a Parquet table with a column of another type, other values or another name."""
    import pyarrow as pa
    from pyarrow import parquet

    table = parquet.read_table(pa.BufferReader(content))
    place, n = int(rng.integers(table.num_columns)), len(table)
    kind, name = rng.integers(6), table.column_names[place]
    columns = [
        pa.array([None] * n),
        pa.array(["x\0"] * n),
        pa.array([[1]] * n),
        pa.array([float("nan")] * n),
        pa.array([1e300] * n),
        pa.array([2**63 - 1] * n),
        pa.array([b"\xff"] * n),
        pa.array([{"a": 1}] * n),
        pa.array([True] * n),
        pa.array([-1.0] * n),
        pa.array([0.0] * n),
        pa.array([2**40] * n, pa.timestamp("s")),
    ]
    if kind == 0:
        table = table.slice(0, int(rng.integers(0, 2)))
    elif kind == 1:
        table = table.drop_columns([name])
    elif kind == 2:
        values = [
            (b"mpp", b"[1]"),
            (b"mpp", b"{"),
            (b"mpp", b'"ab"'),
            (b"mpp", b"[1e400, 1]"),
            (b"mpp", b"\xff"),
            (b"schema_version", b"x"),
            (b"slide_quick_hash", b"\xff"),
            (b"mpp", b"[" * DEEP),
        ]
        key, value = values[rng.integers(len(values))]
        table = table.replace_schema_metadata((table.schema.metadata or {}) | {key: value})
    else:
        table = table.set_column(place, name, columns[rng.integers(len(columns))])
    out = io.BytesIO()
    parquet.write_table(table, out)
    return out.getvalue()


_ODD_SQL = (
    "DROP TABLE study",
    "DROP TABLE call",
    "DELETE FROM study",
    "ALTER TABLE slide RENAME COLUMN path TO p",
    "UPDATE study SET classes = 'x'",
    "UPDATE study SET classes = '1'",
    "UPDATE study SET classes = '[1]'",
    "UPDATE study SET last_stamp = 'x'",
    "UPDATE slide SET path = x'ff00' WHERE id = 1",
    "UPDATE slide SET path = 12 WHERE id = 1",
    "UPDATE slide SET opened_at = 'yesterday'",
    "UPDATE slide SET opened_at = 3",
    "UPDATE slide SET path = char(0) WHERE id = 1",
    "UPDATE call SET made_at = ''",
    "UPDATE run SET summary = '{'",
    "UPDATE run SET summary = '[]'",
    "UPDATE run SET summary = '{\"classes\": 1}'",
    "UPDATE run SET summary = x'ff'",
    "UPDATE run SET folder = x'ff'",
    "UPDATE patient SET clinical = '[]'",
    'UPDATE patient SET clinical = \'{"age_years": "x"}\'',
    "UPDATE patient SET clinical = '{\"surprise\": 1}'",
    "UPDATE patient SET clinical = '{'",
    "UPDATE run SET summary = json_set(summary, '$.map_limits', 'x')",
    "UPDATE slide SET roi = x'00ff'",
    "UPDATE run SET summary = json_set(summary, '$.map_limits', json('{\"attention_slide\": [1]}'))",
    "UPDATE run SET summary = replace(summary, '\"mode\"', '\"Mode\"')",
    "UPDATE run SET recorded_at = 'x'",
    "PRAGMA user_version = 99",
    "PRAGMA user_version = -5",
    "PRAGMA application_id = 7",
    "DROP TABLE slide; CREATE VIEW slide AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
    " SELECT i AS id, 'a' AS path, NULL AS quick_hash, NULL AS patient, NULL AS roi, 'new' AS state,"
    " NULL AS failure, NULL AS next_step, NULL AS opened_at, NULL AS read_at FROM n",
    "CREATE TRIGGER t AFTER UPDATE ON study BEGIN SELECT load_extension('escape'); END",
    "UPDATE slide SET state = 'odd'",
    "PRAGMA writable_schema = 1; UPDATE sqlite_master SET sql = 'x'",
)


def crafted_lists(sound: Path, folder: Path) -> Iterator[Hostile]:
    for number, statement in enumerate(_ODD_SQL):
        copy = folder / "odd.alnlist"
        copy.write_bytes(sound.read_bytes())
        db = sqlite3.connect(copy)
        try:
            db.execute("PRAGMA ignore_check_constraints = 1")
            db.executescript(statement)
            db.commit()
        finally:
            db.close()
        yield Hostile(
            f"list-{number}: {statement[:60]}", "work_list", {"l.alnlist": copy.read_bytes()}, "l.alnlist"
        )
    other = folder / "other.db"
    db = sqlite3.connect(other)
    db.executescript("CREATE TABLE bookmarks (url TEXT)")
    db.close()
    yield Hostile("list-of-another-program", "work_list", {"l.alnlist": other.read_bytes()}, "l.alnlist")
    yield Hostile("list-is-text", "work_list", {"l.alnlist": b"hello " * 100}, "l.alnlist")
    yield Hostile("list-is-empty", "work_list", {"l.alnlist": b""}, "l.alnlist")
    journal = {"l.alnlist": sound.read_bytes(), "l.alnlist-wal": b"\x37\x7f\x06\x82" + bytes(5000)}
    yield Hostile("list-with-a-broken-journal", "work_list", journal, "l.alnlist")
