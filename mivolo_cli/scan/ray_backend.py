"""A scan on a Ray cluster: the pipeline stages as Ray Data operators, each with its own resources.

    read and decode in tasks -> detect, pair and crop in actors -> predict in actors -> here

Only this process stores results. Photos enter in windows, each larger than the one before, so that
folders are listed while the cluster works. A window's photos are split into chunks, whose results
arrive in any order. Ray repeats work lost by a failing process, actor or machine. Chunks that Ray
gives up on, because every process that takes them crashes, are processed last, photo by photo, so
that only the photo causing the crash is lost.
"""

from __future__ import annotations

import logging
import pickle
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ..detect.load import NAMES
from ..errors import BadInput, Stopped
from ..model import registry
from ..photos.decode import decode_again, decode_all
from ..photos.limits import GB, Limits
from ..photos.opening import MinSize
from ..photos.sandbox import CRASHED, TIMEOUT, Sandbox
from ..pipeline import stages
from ..pipeline.components import open_components, open_detector, open_predictor
from ..pipeline.options import InferenceOptions
from ..records import Failure, Image, Photo, Result
from . import fingerprint
from .backend import Answer
from .options import ScanOptions
from .ray_cluster import (
    GO_ON,
    INSTALL,
    PATIENCE,
    Pool,
    all_cores,
    connect,
    reading_cores,
    smallest,
    stopped,
)

logger = logging.getLogger(__name__)
FIRST_WINDOW = 8192
LARGEST_WINDOW = 2**20
GROWTH = 2
"""Number of photos listed for the next window while one of the current window is processed."""
CHUNK = 128
"""Maximum number of photos decoded by a task; small windows are split further, to use all cores."""
CHUNKS_A_CORE = 8
READERS = 2
"""Threads per task, to read one photo while decoding another."""
RETRIES = 3
"""How often Ray retries work that failed with its process before it gives up on the chunk or
block."""
GIVEN_UP = 16
"""Number of a window's blocks that may fail, plus one per hundred; more failures cannot be caused
by the photos."""
ACTOR_CORES = 2
"""Maximum number of cores of an actor without a GPU; on small machines, a quarter of the cores."""
GPU_BATCH = 8
"""Batch size in photos of a detector on a GPU."""
DETECTORS_ON_GPU = ("yolo", "retinaface")
GONE = CRASHED[0], "every process that worked on it crashed"
STUCK = TIMEOUT[0], "no process that worked on it finished"


@dataclass(frozen=True, slots=True)
class About:
    """Result of opening the options on a machine of the cluster; `messages` are levels and texts of
    its log."""

    metadata: Mapping[str, str]
    messages: Sequence[tuple[int, str]]
    size: int
    min_size: MinSize | None
    level: bool
    gpu: bool
    detector: str


class RayBackend:
    """The backend of a scan with `ray`. Raises BadInput, WeightsError and Stopped."""

    def __init__(self, options: ScanOptions) -> None:
        self._options = _for_workers(options.inference)
        self._ours = connect(options)
        with ExitStack() as undo:
            undo.callback(self.close)
            self._about = _ask(self._options)
            undo.pop_all()
        for level, message in self._about.messages:
            logger.log(level, message)
        self.metadata = {**self._about.metadata, **fingerprint.part(options)}
        self._stuck = False

    def answers(self, todo: Iterator[Photo]) -> Generator[Answer, None, None]:
        """See Backend."""
        lost: list[Photo] = []
        window = list(islice(todo, FIRST_WINDOW))
        while window:
            following: list[Photo] = []
            left = dict(enumerate(window))
            for number, result in self._run(window, one_by_one=False):
                if number in left:
                    yield left.pop(number), result
                    following += islice(todo, min(GROWTH, LARGEST_WINDOW - len(following)))
            lost += left.values()
            window = following or list(islice(todo, FIRST_WINDOW))
        if lost:
            yield from self._one_by_one(lost)

    def _one_by_one(self, lost: Sequence[Photo]) -> Iterator[Answer]:
        """Process photos that Ray gave up on, each in its own task; those that cause a crash become
        errors. Raises Stopped."""
        logger.warning(
            f"{len(lost)} photos are retried one by one, because processes that worked on "
            "them crashed"
        )
        left = dict(enumerate(lost))
        for number, result in self._run(lost, one_by_one=True):
            if number in left:
                yield left.pop(number), result
        if self._stuck and len(left) == len(lost) > 1:
            raise Stopped(
                f"the cluster made no progress for {PATIENCE / 60:.0f} minutes", hint=GO_ON
            )
        for photo in left.values():
            yield photo, Failure(photo, *(STUCK if self._stuck else GONE))

    def close(self) -> None:
        """Disconnect from the cluster, and stop it if it was started for this scan."""
        import ray

        if self._ours:
            ray.shutdown()

    def _run(
        self, window: Sequence[Photo], *, one_by_one: bool
    ) -> Iterator[tuple[int, Result | Failure]]:
        """Yield results of these photos by number, except those that Ray gives up on. Raises
        Stopped."""
        import ray
        from ray.data.exceptions import ExecutionTimeoutError, SystemException
        from ray.exceptions import RayError

        chunk = (
            1 if one_by_one else min(CHUNK, max(1, int(len(window) / CHUNKS_A_CORE / all_cores())))
        )
        numbered = list(enumerate(window))
        chunks = [
            {"chunk": pickle.dumps(numbered[at : at + chunk])}
            for at in range(0, len(window), chunk)
        ]
        context = ray.data.DataContext.get_current()
        context.max_errored_blocks = -1 if one_by_one else GIVEN_UP + len(chunks) // 100
        self._stuck = False
        found = self._stages(
            ray.data.from_items(chunks, override_num_blocks=len(chunks)), one_by_one
        )
        try:
            for table in found.iter_batches(batch_size=None, batch_format="pyarrow"):
                for answers in table["answers"].to_pylist():
                    yield from pickle.loads(answers)
        except ExecutionTimeoutError:
            self._stuck = True
        except (RayError, SystemException) as error:
            raise stopped(error) from error

    def _stages(self, chunks: Any, one_by_one: bool) -> Any:
        """Return the complete pipeline as a Ray Data dataset."""
        from ray.data import ActorPoolStrategy

        about, options = self._about, self._options
        seeing, asking = _pools(about)
        # Photos queued behind one that causes a crash would be given up with it.
        queue = 1 if one_by_one else None
        actors = {"max_restarts": -1, "max_task_retries": RETRIES}
        images = chunks.map_batches(
            decode,
            fn_kwargs={"min_size": about.min_size, "limits": share_of_core(options.limits)},
            batch_size=None,
            batch_format="pyarrow",
            num_cpus=reading_cores(),
            max_retries=RETRIES,
        )
        detected = images.map_batches(
            Detect,
            fn_constructor_kwargs={
                "options": options,
                "size": about.size,
                "level": about.level,
            },
            batch_size=GPU_BATCH if seeing.gpus else None,
            batch_format="pyarrow",
            compute=ActorPoolStrategy(size=seeing.actors, max_tasks_in_flight_per_actor=queue),
            num_cpus=seeing.cores,
            num_gpus=seeing.gpus,
            **actors,
        )
        return detected.map_batches(
            Predict,
            fn_constructor_kwargs={"options": options},
            batch_size=1 if one_by_one else options.batch_size,
            batch_format="pyarrow",
            compute=ActorPoolStrategy(size=asking.actors, max_tasks_in_flight_per_actor=queue),
            num_cpus=asking.cores,
            num_gpus=asking.gpus,
            **actors,
        )


def share_of_core(limits: Limits) -> Limits:
    """Return the memory limits of one of the tasks and actors that share a machine."""
    return replace(limits, memory=max(limits.memory // max(int(smallest()), 1), GB))


def decode(
    chunks: pa.Table, min_size: MinSize | None, limits: Limits | None = None
) -> Iterator[pa.Table]:
    """Stage: decode the photos of chunks, one per row. Ray manages the memory of the results."""
    for chunk in chunks["chunk"].to_pylist():
        numbered = pickle.loads(chunk)
        photos = (photo for _, photo in numbered)
        with closing(decode_all(photos, READERS, min_size, limits, held=False)) as images:
            for (number, _), image in zip(numbered, images, strict=True):
                yield _pack(number, image)


class Detect:
    """Stage: detect people and prepare the model's inputs."""

    def __init__(self, options: InferenceOptions, size: int, level: bool) -> None:
        self._detect_people = partial(
            stages.detect_people,
            detector=open_detector(options),
            size=size,
            use=options.use,
            decode=partial(decode_again, sandbox=Sandbox(), limits=options.limits),
            level=level,
            any_way_up=options.any_way_up,
            min_face=options.min_face,
        )

    def __call__(self, images: pa.Table) -> pa.Table:
        numbers, unpacked = images["number"].to_pylist(), _unpack(images)
        detected = self._detect_people(unpacked)
        return _column("detected", map(pickle.dumps, zip(numbers, detected, strict=True)))


class Predict:
    """Stage: predict ages and genders in batches that span photos."""

    def __init__(self, options: InferenceOptions) -> None:
        self._predictor = open_predictor(options)

    def __call__(self, table: pa.Table) -> pa.Table:
        numbers, detected = zip(*map(pickle.loads, table["detected"].to_pylist()), strict=True)
        results = stages.predict(detected, self._predictor)
        return _column("answers", [pickle.dumps(list(zip(numbers, results, strict=True)))])


def about(options: InferenceOptions) -> About:
    """Open model and detector once, on a machine like those that will process the photos. Raises
    BadInput and WeightsError."""
    with _collected_log() as messages:
        opened = open_components(options)
    return About(
        metadata=fingerprint.metadata(options, opened),
        messages=messages,
        size=opened.predictor.spec.input_size,
        min_size=opened.min_size,
        level=opened.level,
        gpu=opened.engine.device != "cpu",
        detector=opened.detector.name,
    )


class _LogCollector(logging.Handler):
    """Keeps the level and text of each record."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.messages: list[tuple[int, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append((record.levelno, record.getMessage()))


@contextmanager
def _collected_log() -> Iterator[list[tuple[int, str]]]:
    """Collect levels and texts of messages that this package logs inside the block."""
    handler = _LogCollector()
    package = logging.getLogger(__package__.partition(".")[0])
    level = package.level
    package.addHandler(handler)
    package.setLevel(logging.INFO)
    try:
        yield handler.messages
    finally:
        package.removeHandler(handler)
        package.setLevel(level)


def _pack(number: int, image: Image | Failure) -> pa.Table:
    """Return a row that shares the pixels' memory."""
    pixels = image.pixels if isinstance(image, Image) else np.empty((0, 0, 3), np.uint8)
    head = replace(image, pixels=pixels[:0, :0]) if isinstance(image, Image) else image
    ends = pa.py_buffer(np.array([0, pixels.nbytes], np.int64))
    coded = pa.Array.from_buffers(
        pa.large_binary(), 1, [None, ends, pa.py_buffer(np.ascontiguousarray(pixels))]
    )
    columns = {
        "number": [number],
        "image": [pickle.dumps(head)],
        "height": [pixels.shape[0]],
        "width": [pixels.shape[1]],
    }
    return pa.table({**columns, "pixels": coded})


def _unpack(images: pa.Table) -> Iterator[Image | Failure]:
    """Unpack rows; the pixels are a read-only view of Ray's memory."""
    for row in range(images.num_rows):
        head = pickle.loads(images["image"][row].as_py())
        if isinstance(head, Image):
            shape = images["height"][row].as_py(), images["width"][row].as_py(), 3
            head = replace(
                head,
                pixels=np.frombuffer(images["pixels"][row].as_buffer(), np.uint8).reshape(shape),
            )
        yield head


def _column(name: str, values: Iterable[bytes]) -> pa.Table:
    return pa.table({name: pa.array(values, pa.large_binary())})


def _for_workers(options: InferenceOptions) -> InferenceOptions:
    """Make file paths absolute."""
    names = {"auto", *NAMES, *registry.known()}
    model, detector = (
        name if name in names or not Path(name).exists() else str(Path(name).absolute())
        for name in (options.model, options.detector)
    )
    boxes = None if options.boxes is None else options.boxes.absolute()
    samples = None if options.int8_samples is None else options.int8_samples.absolute()
    return replace(options, model=model, detector=detector, boxes=boxes, int8_samples=samples)


def _ask(options: InferenceOptions) -> About:
    """Open the options on a machine of the cluster. Raises what opening them raises there."""
    import ray

    gpus = 1 if options.device != "cpu" and ray.cluster_resources().get("GPU") else 0
    try:
        said: About = ray.get(
            ray.remote(num_cpus=reading_cores(), num_gpus=gpus)(about).remote(options)
        )
        return said
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, ImportError):
            raise BadInput(
                f"a package is missing on a machine of the cluster: {error.cause}", hint=INSTALL
            ) from error
        raise error.cause from None
    except ray.exceptions.RayError as error:
        raise stopped(error) from error


def _pools(about: About) -> tuple[Pool, Pool]:
    """Return the pools for detection and prediction: one actor each per GPU, or actors on half the
    cores."""
    import ray

    gpus = int(ray.cluster_resources().get("GPU", 0)) if about.gpu else 0
    cores = min(ACTOR_CORES, smallest() / 4)
    on_cores = Pool(max(1, int(all_cores() / 4 / cores)), cores)
    if not gpus:
        return on_cores, on_cores
    if about.detector in DETECTORS_ON_GPU:
        return Pool(gpus, cores, 0.5), Pool(gpus, cores, 0.5)
    return on_cores, Pool(gpus, cores, 1.0)
