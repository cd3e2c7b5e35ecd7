import errno

import pytest

from napari_aln.errors import StoreError
from napari_aln.store.atomic import atomic_file, atomic_folder, check_writable, storing, sweep_leftovers


def test_file_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "deep" / "a.json"
    with atomic_file(target) as temporary:
        temporary.write_text("new")
        assert not target.exists()
    assert target.read_text() == "new"

    def cut_off():
        with atomic_file(target) as temporary:
            temporary.write_text("half")
            raise ValueError("cut off")

    with pytest.raises(ValueError, match="cut off"):
        cut_off()
    assert target.read_text() == "new"
    assert [p.name for p in target.parent.iterdir()] == ["a.json"]


def test_folder_replaces_only_its_own_kind(tmp_path):
    place = tmp_path / "result"
    for text in ("first", "second"):
        with atomic_folder(place, known_by="mark") as folder:
            (folder / "mark").write_text(text)
            assert folder.name.endswith(".incomplete")
    assert (place / "mark").read_text() == "second"
    assert [p.name for p in tmp_path.iterdir()] == ["result"]

    foreign = tmp_path / "holiday"
    foreign.mkdir()
    (foreign / "photo.jpg").write_text("precious")
    with pytest.raises(StoreError, match="not a result"), atomic_folder(foreign, known_by="mark"):
        pytest.fail("a foreign folder was opened for writing")
    assert (foreign / "photo.jpg").read_text() == "precious"


def test_folder_that_fails_leaves_the_old_one(tmp_path):
    place = tmp_path / "result"
    with atomic_folder(place, known_by="mark") as folder:
        (folder / "mark").write_text("old")

    def interrupted():
        with atomic_folder(place, known_by="mark") as folder:
            (folder / "mark").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert (place / "mark").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["result"]


@pytest.mark.parametrize(
    ("keep", "stays"), [(None, "second"), (lambda _: False, "second"), (lambda _: True, "first")]
)
def test_who_comes_second_may_keep_the_first(tmp_path, keep, stays):
    place = tmp_path / "result"
    with atomic_folder(place, known_by="mark", keep=keep) as slower:
        with atomic_folder(place, known_by="mark", keep=keep) as quicker:
            (quicker / "mark").write_text("first")
        (slower / "mark").write_text("second")
    assert (place / "mark").read_text() == stays
    assert [p.name for p in tmp_path.iterdir()] == ["result"]


def test_who_comes_second_by_a_hair_keeps_the_first_too(tmp_path, monkeypatch):
    place = tmp_path / "result"
    with atomic_folder(place, known_by="mark", keep=lambda _: True) as slower:
        (slower / "mark").write_text("second")
        place.mkdir()
        (place / "mark").write_text("first")
        looks = iter([False])  # not there yet when it is first looked for
        real = type(place).exists
        monkeypatch.setattr(type(place), "exists", lambda path: real(path) if next(looks, True) else False)
    assert (place / "mark").read_text() == "first"
    assert [p.name for p in tmp_path.iterdir()] == ["result"]


def test_all_leftovers_are_swept_at_once(tmp_path):
    nobody = 2**22 + 1  # no process has this number
    for name in (
        f"a.{nobody}-0badcafe.incomplete",
        f"b.{nobody}-0badcafe.replaced",
        "c.1-0badcafe.incomplete",
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mark").write_text(name)
    sweep_leftovers(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b", "c.1-0badcafe.incomplete"]  # process 1 lives


@pytest.mark.parametrize(
    ("number", "fact"), [(errno.ENOSPC, "The disk is full"), (errno.EACCES, "could not be written")]
)
def test_the_systems_refusals_become_clear_errors(tmp_path, number, fact):
    with pytest.raises(StoreError, match=fact) as caught, storing(tmp_path / "x"):
        raise OSError(number, "no")
    assert str(tmp_path / "x") in str(caught.value)
    assert caught.value.next_step


def test_a_place_below_a_file_is_refused_before_any_work(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="could not be written"):
        check_writable(tmp_path / "file" / "out")
    check_writable(tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_leftovers_of_killed_runs_are_swept_and_an_earlier_result_comes_back(tmp_path):
    place = tmp_path / "result"
    dead = "999999999"
    half = tmp_path / f"result.{dead}-0123abcd.incomplete"
    half.mkdir()
    moved = tmp_path / f"result.{dead}-0123abcd.replaced"
    moved.mkdir()
    (moved / "mark").write_text("earlier")
    other = tmp_path / "result.2.incomplete"  # not one of ours
    other.mkdir()

    def cut_off():
        with atomic_folder(place, known_by="mark"):
            raise ValueError("cut off")

    with pytest.raises(ValueError, match="cut off"):
        cut_off()
    assert (place / "mark").read_text() == "earlier"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["result", "result.2.incomplete"]


def test_errors_of_the_program_itself_pass_unchanged(tmp_path):
    from napari_aln.errors import SlideError

    with pytest.raises(SlideError, match="cannot be read"), storing(tmp_path):
        raise SlideError("a.svs cannot be read.", "Copy the file again.")
