"""Whatever a file holds: a clear error or a correct result, in bounded time and memory, and nothing escapes.

`--hostile N` opens N damaged inputs; without it there are few.
"""

from itertools import chain, islice
from pathlib import Path

from hostile_pool import ENDS_WELL


def _findings(answers) -> list[str]:
    return [f"{name}: {ended.ended}: {ended.told}" for name, ended in answers if ended.ended not in ENDS_WELL]


def _escaped(corpus, pool) -> list[Path]:
    """Return files outside the inputs' own folders, and beside workers, that an input left."""
    known = {"sound", "inputs", "sparse", "odd.alnlist", "other.db"}
    around = [path for path in corpus.folder.iterdir() if path.name not in known]
    started = [
        path
        for path in chain(pool.scratch.rglob("*"), pool.scratch.parent.glob("*"))
        if "escape" in path.name
    ]
    return (
        around + started + list(corpus.folder.parent.glob("escape*")) + list(Path("/tmp").glob("escape.txt"))
    )


def test_what_is_damaged_in_the_others_opens(corpus, pool):
    answers = pool.open_all(corpus.sound(), corpus.remove)
    assert [(name, ended) for name, ended in answers if ended.ended != "fine"] == []
    assert len(answers) >= 25


def test_crafted_files_end_in_a_clear_error_or_a_correct_result(corpus, pool, how_many):
    """Of the crafted tables' cells, all are opened only where many inputs are asked for."""
    every = how_many >= 1000
    entries = (
        entry for number, entry in enumerate(corpus.crafted()) if every or _in_short_run(number, entry)
    )
    answers = pool.open_all(entries, corpus.remove)
    assert _findings(answers) == []
    assert _escaped(corpus, pool) == []
    ended = {ended.ended for _, ended in answers}
    assert ended == ENDS_WELL
    assert len(answers) > (400 if every else 150)


def _in_short_run(number: int, entry) -> bool:
    name, door, _ = entry
    slow = name.startswith(("timm", "sparse", "deep", "workbook-bomb"))
    return (
        not slow
        and (not name.startswith("cell-") or number % 12 == 0)
        and (door != "slide" or number % 3 == 0)
    )


def test_damaged_files_end_in_a_clear_error_or_a_correct_result(corpus, pool, how_many):
    answers = pool.open_all(map(corpus.damaged, range(how_many)), corpus.remove)
    assert _findings(answers) == []
    assert _escaped(corpus, pool) == []
    assert len(answers) == how_many


def test_the_same_number_gives_the_same_input(corpus):
    for number in islice(range(0, 60, 13), 3):
        _, _, make = corpus.damaged(number)
        first = make()
        before = first.read_bytes() if first.is_file() else sorted(p.read_bytes() for p in first.iterdir())
        again = corpus.damaged(number)[2]()
        after = again.read_bytes() if again.is_file() else sorted(p.read_bytes() for p in again.iterdir())
        assert before == after


def test_an_input_that_kills_hangs_or_floods_its_process_is_told(pool, tmp_path, monkeypatch):
    """The net must catch what it is there for."""
    from hostile_pool import Pool

    monkeypatch.setattr("hostile_pool.PATIENCE_S", 2.0)
    doors = Pool(("memory", "_test"), tmp_path / "scratch", workers=1)
    try:
        for name, ended in (("die", "crash"), ("sleep", "hang"), ("flood", "traceback"), ("fine", "fine")):
            assert doors.open("_test", Path(name)).ended == ended, name
    finally:
        doors.close()
