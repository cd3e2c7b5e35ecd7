"""Cohorts on a real Dask scheduler with two workers of this machine, one of which is killed at work."""

import os
import signal

import pytest
from cohort_runs import asked_of, draw_slides, let_decoders_die, listed_in, same
from tests_shared import collect, drain

from napari_aln.errors import DeviceError
from napari_aln.settings.prediction import CohortRunSettings
from napari_aln.workflows.cohorts.predict_cohort import predict_cohort
from napari_aln.workflows.cohorts.slide_tasks import Predictor

N_SLIDES = 4


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """Start a scheduler and two workers, each a process with a thread."""
    from distributed import LocalCluster

    let_decoders_die(tmp_path, monkeypatch)
    with LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1", silence_logs=50
    ) as started:
        yield started


@pytest.mark.slow
def test_a_killed_worker_loses_nothing_and_all_is_as_of_a_serial_run(cluster, ws_bundle, tmp_path):
    slides, out = tmp_path / "slides", tmp_path / "out"
    draw_slides(slides, N_SLIDES)
    (slides / "z-crash.tif").write_bytes(b"II*\0")
    run = CohortRunSettings(scheduler=cluster.scheduler_address, retries=0)
    work = predict_cohort(listed_in([slides], out), asked_of(ws_bundle, out), run)
    steps = [next(work)]
    busy = []
    while steps[-1].done < 1 or not busy:
        steps.append(next(work))
        busy = [one.address for one in cluster.scheduler.workers.values() if one.processing]
    nanny = next(one for one in cluster.workers.values() if one.worker_address == busy[0])
    os.kill(nanny.pid, signal.SIGKILL)
    more, found = collect(work)
    # A worker may be lost just after its result has landed: that is found and kept, not made again.
    assert (found.n_slides, found.n_kept < N_SLIDES) == (N_SLIDES + 1, True)
    ((path, why),) = found.failed
    assert path.name == "z-crash.tif"
    assert "Every worker that took it was lost" in why
    assert more[-1].done == N_SLIDES + 1

    serial = Predictor(asked_of(ws_bundle, tmp_path / "serial"))
    for one in listed_in(sorted(slides.glob("slide*")), tmp_path / "serial"):
        _, place = drain(serial.run(one.task))
        assert same(place, out / place.name)
    assert not list(out.glob("*.incomplete"))
    assert (out / "cohort.html").is_file()


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("tcp://127.0.0.1:9", r"No Dask scheduler answers at tcp://127\.0\.0\.1:9"),
        ("127.0.0.1", r"No Dask scheduler answers at 127\.0\.0\.1 \(missing port number"),
    ],
)
def test_an_address_where_no_scheduler_is_says_so(ws_bundle, tmp_path, address, told):
    pytest.importorskip("distributed")
    import dask

    (tmp_path / "one.tif").write_text("never looked at")
    out = tmp_path / "out"
    run = CohortRunSettings(scheduler=address)
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "200ms"}),
        pytest.raises(DeviceError, match=told),
    ):
        drain(predict_cohort(listed_in([tmp_path / "one.tif"], out), asked_of(ws_bundle, out), run))
