"""What of a review must come back when it is reopened, as plain values to be compared."""

import numpy as np
import shapely

from napari_aln.widgets.changes import why_stale

VALUES = ("attention_slide", "attention_bag", "contribution", "probability", "entropy")


def numbers_of(hands):
    """Return the record and the per-patch values of each stored answer, by run."""
    return {
        run: (answer.record, {name: getattr(answer.scores, name) for name in VALUES})
        for run, answer in hands.state.answers.items()
    }


def assert_same_numbers(one, other):
    """Compare two answers of `numbers_of`, bit for bit."""
    assert one.keys() == other.keys()
    for run, (record, values) in one.items():
        assert record == other[run][0]
        for name, numbers in values.items():
            np.testing.assert_array_equal(numbers, other[run][1][name])


def picture_of(hands):
    """Return everything else: the case, the models, how the map and the window look, and the view."""
    state, scene = hands.state, hands.review.scene
    return {
        "mpp": state.slide.info.mpp,
        "regions": [(shapely.to_wkb(r.geometry), r.name, r.classification) for r in state.regions],
        "clinical": state.clinical,
        "settings": state.settings,
        "chosen": [state.bundles[key].sha256 for key in state.chosen.values()],
        "map": (state.shown, state.scaling, state.threshold, state.colour_map, state.difference),
        "look": (scene.map.visible, scene.map.opacity),
        "camera": scene.camera(),
        "live": {run: state.record_of(run).probabilities for run in state.answers},
        "stale": {run: why_stale(state, run) for run in state.answers},
        "window": hands.dock.window_look.now(),
    }
