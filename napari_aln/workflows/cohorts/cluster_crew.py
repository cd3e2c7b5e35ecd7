"""Slides on the machines of a Dask cluster, which all see the same files under the same paths.

Dask's own settings say how it is joined, TLS too. A worker that is lost has its slides begun anew elsewhere
by the scheduler; `atomic_folder` sees to it that only one answer stays.
"""

from __future__ import annotations

import queue
from typing import TYPE_CHECKING

from napari_aln.errors import DeviceError, UsageError
from napari_aln.workflows.cohorts.crews import Ended, Said
from napari_aln.workflows.cohorts.slide_tasks import Delivered, Failure, answer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from distributed import Client, Future

    from napari_aln.records import Progress
    from napari_aln.workflows.cohorts.crews import Order
    from napari_aln.workflows.cohorts.slide_tasks import Asked, SlideTask

_LOOK_EVERY_S = 0.5


class ClusterCrew:
    """The workers of a Dask scheduler.

    Parameters
    ----------
    asked, models
        See `slide_tasks.answer`.
    address
        Of the scheduler.

    Raises
    ------
    UsageError
        `distributed` is not installed.
    DeviceError
        No scheduler answers there.
    """

    def __init__(self, asked: Asked, models: tuple[str, ...], address: str) -> None:
        self._asked, self._models, self._address = asked, models, address
        self._client = _joined(address)
        self._futures: dict[str, Future] = {}
        self._ended: queue.SimpleQueue[tuple[str, Future]] = queue.SimpleQueue()
        self._n_orders = 0

    def room(self) -> int:
        """Return how many threads have nothing to do.

        No slide waits behind another one on a worker: a crash would fall on both.
        """
        return max(max(self._threads(), 1) - len(self._futures), 0)

    def take(self, order: Order) -> None:
        """Hand a slide to the scheduler."""
        self._n_orders += 1
        future = self._client.submit(
            _answer_there,
            self._asked,
            self._models,
            order.task,
            order.sha256,
            key=f"napari-aln-{order.sha256}-{self._n_orders}",
            pure=False,
        )
        self._futures[order.key] = future
        future.add_done_callback(lambda ended, key=order.key: self._ended.put((key, ended)))

    def events(self) -> Sequence[Said | Ended]:
        """Wait a moment, return which slides ended."""
        found: list[Said | Ended] = []
        timeout: float | None = _LOOK_EVERY_S
        try:
            while True:
                key, future = self._ended.get(timeout=timeout) if timeout else self._ended.get_nowait()
                timeout = None
                if self._futures.get(key) is future:
                    del self._futures[key]
                    found.append(Ended(key, self._outcome(future)))
        except queue.Empty:
            if not found and not self._is_there():
                raise self._gone() from None
        if not found and self._threads() == 0:
            return [Said(key, "waits for a worker to join") for key in self._futures]
        return found

    def close(self) -> None:
        """Take back what has not begun; slides that workers are at are finished there."""
        if self._is_there():
            self._client.cancel(list(self._futures.values()))
        self._client.close()

    def _threads(self) -> int:
        return sum(self._client.nthreads().values()) if self._is_there() else 0

    def _is_there(self) -> bool:
        return bool(self._client.status == "running")

    def _gone(self) -> DeviceError:
        return DeviceError(
            f"The scheduler at {self._address} is gone.",
            "Start it and its workers, then run the same command again: finished slides are kept.",
        )

    def _outcome(self, future: Future) -> Delivered | Failure:
        from distributed import KilledWorker

        if future.cancelled():
            raise self._gone()
        error = future.exception()
        if error is None:
            outcome: Delivered | Failure = future.result()
            return outcome
        if isinstance(error, KilledWorker):
            return Failure(
                f"Every worker that took it was lost, the last one {error.last_worker.address}: for lack of "
                "memory, or because a decoder crashed on it.",
                "Look into that worker's log; give workers more memory, or copy the slide again.",
            )
        return Failure(
            f"The cluster could not run it ({type(error).__name__}: {error}).",
            "Install the same version of napari-aln on all machines.",
        )


def _joined(address: str) -> Client:
    try:
        from distributed import Client
        from distributed.comm.addressing import parse_address, parse_host_port
    except ImportError as error:
        raise UsageError(
            "A cluster needs Dask's distributed, which is not installed.",
            "Run `pip install 'napari-aln[cluster]'` here and on the workers.",
        ) from error
    try:
        parse_host_port(parse_address(address)[1])  # a client that learns it hangs for a minute when it goes
        return Client(address, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise DeviceError(
            f"No Dask scheduler answers at {address} ({error}).",
            "Check the address, that `dask scheduler` runs there, and Dask's TLS settings.",
        ) from error


def _answer_there(asked: Asked, models: tuple[str, ...], task: SlideTask, sha256: str) -> Delivered | Failure:
    """Predict a slide on a worker."""
    from distributed import get_worker

    outcome = answer(asked, models, task, sha256, _unheard)
    return outcome._replace(worker=f"{outcome.worker} ({get_worker().address})")


def _unheard(_: Progress) -> None:
    """Say nothing: the scheduler knows which slides go on, and no more."""
