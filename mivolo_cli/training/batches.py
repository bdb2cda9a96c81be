"""Prepare batches in advance, in a separate process."""

from __future__ import annotations

import multiprocessing
import signal
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np

from ..datasets.labels import Label
from ..pipeline.crops import Crops
from ..threads import in_order
from .loss import Batch
from .mixer import Mixer
from .recipe import Recipe
from .trainer import Trainer

AHEAD = 4
"""Batches prepared in advance while the model trains on one."""


@dataclass(frozen=True, slots=True)
class Draws:
    """The examples of each step, determined by the seed and the step alone."""

    mixer: Mixer
    recipe: Recipe
    steps: int

    def of(self, step: int) -> list[tuple[Crops, Label]]:
        rng = np.random.default_rng((self.recipe.seed, step))
        strength = min(1.0, step / max(1.0, self.recipe.ramp * self.steps))
        return [self.mixer.draw(rng, strength) for _ in range(self.recipe.batch_size)]


def batches(mixer: Mixer, trainer: Trainer, weights: Mapping[Label, float]) -> Iterator[Batch]:
    """Yield the batches of the remaining steps, in order."""
    steps, threads = range(trainer.step, trainer.steps), cv2.getNumThreads()
    cv2.setNumThreads(1)  # OpenCV's threads do not survive a fork
    pool = _pool(Draws(mixer, trainer.recipe, trainer.steps))
    try:
        for examples in in_order(pool, _draw, steps, AHEAD + 1):
            yield Batch.of(examples, trainer.spec, weights)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        cv2.setNumThreads(threads)


def _pool(draws: Draws) -> Executor:
    """Return a process pool on Linux, where forking is safe and cheap, else a thread pool; threads
    compete with the model for the GIL."""
    if sys.platform != "linux":
        return ThreadPoolExecutor(1, "batch", _init_worker, (draws,))
    return ProcessPoolExecutor(1, multiprocessing.get_context("fork"), _init_process, (draws,))


_draws: Draws
"""The source of the examples; processes inherit it by forking, since it is large."""


def _init_worker(draws: Draws) -> None:
    global _draws
    _draws = draws


def _init_process(draws: Draws) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the training process handles Ctrl-C
    _init_worker(draws)


def _draw(step: int) -> list[tuple[Crops, Label]]:
    return _draws.of(step)
