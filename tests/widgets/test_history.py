from napari_aln.widgets.history import MOST_STEPS, History


def test_steps_are_taken_back_and_again():
    history = History("a")
    assert not history.can_undo
    history.add("ab")
    history.add("abc")
    assert (history.undo(), history.undo(), history.undo()) == ("ab", "a", "a")
    assert history.can_redo
    assert (history.redo(), history.redo(), history.redo()) == ("ab", "abc", "abc")


def test_a_new_step_ends_what_was_taken_back():
    history = History("a")
    history.add("ab")
    history.undo()
    history.add("ax")
    assert not history.can_redo
    assert history.undo() == "a"


def test_the_same_again_is_no_step():
    history = History("a")
    history.add("a")
    assert not history.can_undo


def test_only_so_many_steps_are_kept():
    history = History(0)
    for step in range(1, MOST_STEPS + 50):
        history.add(step)
    while history.can_undo:
        history.undo()
    assert history.now == 50


def test_a_reset_forgets_everything():
    history = History(1)
    history.add(2)
    history.undo()
    history.reset(5)
    assert (history.now, history.can_undo, history.can_redo) == (5, False, False)
