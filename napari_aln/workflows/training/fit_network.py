"""Encoder and head learn together, end to end, on patches from disk: as in the papers, on any device.

Threads read bags ahead; pixels go to the device as bytes and are augmented there. Several processes share the
bags of an epoch; each takes the same number of steps, and what is over is left out of that epoch.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
import torch

from napari_aln.mil.augmentation import augmentation, augmented, seeded
from napari_aln.mil.fitting import Fitter, balanced_weights, known_loss, temper
from napari_aln.mil.network import BagNetwork
from napari_aln.records import Progress
from napari_aln.runtimes.fabric import repeatable, training_errors
from napari_aln.workflows.training.epochs import VALIDATION_BAGS, Learner, bags_of, draw_bags, run_epochs

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence
    from pathlib import Path

    from lightning_fabric import Fabric
    from numpy.typing import NDArray

    from napari_aln.mil.network import PatchNetwork
    from napari_aln.settings.training import FinetuneSettings
    from napari_aln.workflows.training.epochs import Fitted, Patient, Tally

BAGS_AHEAD_PER_WORKER = 3
PATCHES_AT_ONCE = 64
"""Patches that go through the network together where it does not learn."""


def fit_network(
    network: PatchNetwork,
    train: Sequence[Patient[np.uint8]],
    validation: Sequence[Patient[np.uint8]],
    recipe: FinetuneSettings,
    fabric: Fabric,
    folder: Path,
    configuration: Mapping[str, str],
) -> Generator[Progress, None, Fitted]:
    """Train a network; yield progress and return how it went, see `epochs.run_epochs`.

    Ends on the CPU, in eval mode, with the weights of the best epoch, temperature folded in.

    Parameters
    ----------
    network
        Changed in place; its head decides how many classes there are.
    train, validation
        Patients, each class among both; the same ones in every process.
    recipe
        See `FinetuneSettings`.
    fabric
        Launched.
    folder, configuration
        See `run_epochs`.

    Raises
    ------
    StoreError
        See `run_epochs`; or patches cannot be read from disk any more.
    DeviceError
        The loss is not finite, or the device gave up; says what to do where its memory is too small.
    """
    with training_errors(fabric, recipe.batch * recipe.bag_size):
        learner = NetworkLearner(network, train, validation, recipe, fabric)
        fitted = yield from run_epochs(learner, recipe, folder, configuration)
        network.cpu().eval()
        temper(network.head, fitted.temperature)
    return fitted


class _Step(NamedTuple):
    """Bags of one step: whose they are, and which patches."""

    who: NDArray[np.int64]  # (b,)
    patches: NDArray[np.int64]  # (b, bag_size)


class _Answer:
    """What a step gave, on its way from the device; work that is sent there later is not waited for."""

    def __init__(self, loss: torch.Tensor, who: NDArray[np.int64], logits: torch.Tensor) -> None:
        self._who, self._shape = who, logits.shape
        self._event: torch.cuda.Event | None = None
        self._values = torch.cat([loss.float().reshape(1), logits.float().flatten()])
        if self._values.device.type == "cuda":
            arriving = torch.empty(self._values.shape, pin_memory=True)
            arriving.copy_(self._values, non_blocking=True)
            self._values, self._event = arriving, torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._event.record()

    def read(self) -> tuple[float, NDArray[np.int64], torch.Tensor]:
        """Return the loss, whose bags they were, and the logits.

        Raises
        ------
        DeviceError
            The loss is not finite.
        """
        if self._event is not None:
            self._event.synchronize()
        values = self._values.cpu()
        return known_loss(values[0]), self._who, values[1:].view(self._shape)


class NetworkLearner(Learner):
    """A network, and patients whose patches are pixels."""

    def __init__(
        self,
        network: PatchNetwork,
        train: Sequence[Patient[np.uint8]],
        validation: Sequence[Patient[np.uint8]],
        recipe: FinetuneSettings,
        fabric: Fabric,
    ) -> None:
        labels, unseen = (np.array([p.label for p in patients]) for patients in (train, validation))
        n_classes = network.head.n_classes
        weights = balanced_weights(labels, n_classes) if recipe.class_weights else None
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._network = network
        self._answers = fabric.setup_module(BagNetwork(network))
        fitter = Fitter(network.parameters(), recipe, weights, fabric.backward)
        super().__init__(network, fitter, n_classes, labels, unseen)
        self._train, self._validation, self._recipe, self._fabric = train, validation, recipe, fabric
        self._augment = augmentation(recipe.augmentation, train[0].take(np.zeros(1, np.int64)).shape[1])

    def steps(self, epoch: int, tally: Tally) -> Iterator[str]:
        """Take the steps of an epoch; yield after each."""
        self._network.train()
        plan = self._plan(epoch)
        rng = np.random.default_rng([self._recipe.seed, epoch, 1 + self._fabric.global_rank])
        answers: deque[_Answer] = deque()
        late = int(self._fabric.device.type == "cuda")  # a GPU has the next step while one is looked at
        with closing(self._read_ahead(plan)) as bags:
            for done, (step, read) in enumerate(bags, start=1):
                pixels = self._on_device(read, int(rng.integers(2**62)))
                answers.append(self._begin(step, pixels, int(rng.integers(2**62))))
                if len(answers) > late:
                    tally.add(*answers.popleft().read())
                    yield f", step {done - late} of {len(plan)}"
        for answer in answers:
            tally.add(*answer.read())
            yield f", step {len(plan)} of {len(plan)}"

    def _plan(self, epoch: int) -> list[_Step]:
        """Return this process's steps: the bags of all patients, mixed, dealt out in turn."""
        recipe, rng = self._recipe, np.random.default_rng([self._recipe.seed, epoch])
        sizes = [len(patient) for patient in self._train]
        times = [bags_of(n, recipe, recipe.bag_size) for n in sizes]
        drawn = [draw_bags(n, k, recipe.bag_size, rng) for n, k in zip(sizes, times, strict=True)]
        index = np.concatenate(drawn)
        who = np.arange(len(sizes)).repeat(times)
        mixed = rng.permutation(len(who))
        world = self._fabric.world_size
        mine = mixed[: len(mixed) // world * world][self._fabric.global_rank :: world]
        together = np.split(mine, range(recipe.batch, len(mine), recipe.batch))
        return [_Step(who[now], index[now]) for now in together]

    def _read_ahead(self, plan: list[_Step]) -> Generator[tuple[_Step, torch.Tensor], None, None]:
        """Yield each step with its pixels, uint8 (b, n, S, S, 3), read by threads a bounded way ahead."""
        pool = ThreadPoolExecutor(self._recipe.workers, thread_name_prefix="bags")
        ahead: deque[Future[torch.Tensor]] = deque()
        bound = self._recipe.workers * BAGS_AHEAD_PER_WORKER
        try:
            for k, step in enumerate(plan):
                while len(ahead) < bound and k + len(ahead) < len(plan):
                    ahead.append(pool.submit(self._read, plan[k + len(ahead)]))
                yield step, ahead.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _read(self, step: _Step) -> torch.Tensor:
        bags = [self._train[i].take(index) for i, index in zip(step.who, step.patches, strict=True)]
        pixels = torch.from_numpy(np.stack(bags))
        return pixels.pin_memory() if self._fabric.device.type == "cuda" else pixels

    def _on_device(self, read: torch.Tensor, seed: int) -> torch.Tensor:
        """Return the pixels of a step, augmented, on the device."""
        pixels = read.to(self._fabric.device, non_blocking=True)
        return augmented(pixels.flatten(0, 1), self._augment, seed).view(pixels.shape)

    def _begin(self, step: _Step, pixels: torch.Tensor, seed: int) -> _Answer:
        """Send a step to the device."""
        device = self._fabric.device
        clinical = torch.from_numpy(np.stack([self._train[i].clinical for i in step.who])).to(device)
        label = torch.from_numpy(self.train_labels[step.who]).to(device)
        with repeatable(self._fabric), seeded(seed, device):  # of dropout
            logits = self._answers(pixels, clinical)
            return _Answer(self.fitter.begin_step(logits, label), step.who, logits.detach())

    def validation_logits(self) -> Generator[Progress, None, NDArray[np.float32]]:
        """Return (patients, VALIDATION_BAGS, classes); each patch goes through the network once."""
        self._network.eval()
        self._share_statistics()
        size = (len(self._validation), VALIDATION_BAGS, self.n_classes)
        found = np.zeros(size)
        for number in range(self._fabric.global_rank, len(self._validation), self._fabric.world_size):
            patient = self._validation[number]
            rng = np.random.default_rng([self._recipe.seed, 0, number])
            bags = draw_bags(len(patient), VALIDATION_BAGS, self._recipe.bag_size, rng)
            found[number] = self._logits(patient, bags)
            yield Progress("validate", number + 1, len(self._validation))
        return self.summed(found).astype(np.float32)

    @torch.no_grad()
    def _logits(self, patient: Patient[np.uint8], bags: NDArray[np.int64]) -> NDArray[np.float32]:
        device = self._fabric.device
        used, at = np.unique(bags, return_inverse=True)
        lots = np.split(used, range(PATCHES_AT_ONCE, len(used), PATCHES_AT_ONCE))
        with repeatable(self._fabric), self._fabric.autocast():
            parts = [self._network(torch.from_numpy(patient.take(some)).to(device)) for some in lots]
            h, e = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
            which = torch.from_numpy(at.reshape(bags.shape)).to(device)
            clinical = torch.from_numpy(patient.clinical).to(device).expand(len(bags), -1)
            logits = self._network.head.classify_bags(h[which], e[which], clinical)
        return logits.float().cpu().numpy()

    def _share_statistics(self) -> None:
        """Give all processes the first one's BatchNorm statistics, which each bag has moved in its own."""
        if self._fabric.world_size > 1:
            own = dict(self._network.named_buffers())
            for name, value in self._fabric.broadcast({k: v.cpu() for k, v in own.items()}).items():
                own[name].copy_(value)

    @property
    def writes(self) -> bool:
        """Whether this process is the one that writes files."""
        return bool(self._fabric.is_global_zero)

    def summed(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the sum over all processes."""
        if self._fabric.world_size == 1:
            return values
        kind = torch.float32 if self._fabric.device.type == "mps" else torch.float64
        total = cast(
            "torch.Tensor", self._fabric.all_reduce(torch.from_numpy(values).to(kind), reduce_op="sum")
        )
        return np.asarray(total.cpu().numpy(), np.float64)
