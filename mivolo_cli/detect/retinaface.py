"""RetinaFace from facexlib for faces, with weights supplied by the user, and DEIMv2 for persons.

Only facexlib's network is used: its loader downloads and unpickles files, and other parts guess the
device.
"""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .. import boxes as arithmetic
from ..errors import BadInput, WeightsError
from ..model.checkpoint import read_tensors, require_finite
from ..model.registry import find, sha256
from ..records import Detections, Image, Pixels
from ..runtime.engines import Engine, FallbackEngine, choose_engine
from ..runtime.graph_cache import NotConverted, graph_of, open_graph
from ..runtime.torch_engine import TorchEngine
from .deim import PERSON_SCORE, Deim
from .detector import detections, way_up_by_faces
from .resize import Scaled
from .yunet import Faces

logger = logging.getLogger(__name__)
REGISTERED = "retinaface-resnet50"
NETWORKS = {"body.layer4.0.conv1.weight": "resnet50", "body.stage3.0.0.weight": "mobile0.25"}
"""A weight unique to a network -> facexlib's name of that network."""
SCORE = 0.8
IOU = 0.4
"""Both as in facexlib."""
LONGEST = 1600
"""Photos with a longer side are downscaled to this, which is facexlib's test size."""
BGR_MEAN = (104.0, 117.0, 123.0)


class RetinaFaceDetector:
    """Face detector RetinaFace (ResNet-50 or MobileNet 0.25, depending on the weights), with DEIMv2
    for persons.

    Uses the registered ResNet-50 weights unless given a file. `face_score` and `person_score` are
    minimum scores. Raises WeightsError for a file that does not fit.
    """

    name, batch, streams = "retinaface", 1, 1

    def __init__(
        self,
        file: Path | None = None,
        device: str = "cpu",
        engine: str = "auto",
        face_score: float = SCORE,
        person_score: float = PERSON_SCORE,
    ) -> None:
        file = find(REGISTERED) if file is None else file
        if not file.is_file():
            raise BadInput(f"no such detector file: {file}", hint="check the path")
        network = _load(file)
        self._variance, self._steps, self._sizes = (
            network.cfg[key] for key in ("variance", "steps", "min_sizes")
        )
        weights = sha256(file)
        self._engine = _engine(_FromPixels(network).eval(), weights, device, engine)
        self._persons = Deim()
        self._face_score, self._person_score = face_score, person_score
        self.sha256 = hashlib.sha256((weights + sha256(self._persons.file)).encode()).hexdigest()

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        return [self._detect(image) for image in images]

    def way_up(self, pixels: Pixels) -> int:
        return way_up_by_faces(self, pixels)

    def find_faces(self, pixels: Pixels, score: float = SCORE) -> Faces:
        """Detect faces that score above `score` in pixels (height, width, 3) RGB."""
        small = _shrink(pixels)
        height, width = small.shape[:2]
        answer = self._engine.run(small[None])[0]  # priors, 15
        likely = answer[:, 4] > score
        priors, found = priors_of(height, width, self._steps, self._sizes)[likely], answer[likely]
        places, sizes = priors[:, :2], priors[:, 2:]
        centres = places + found[:, :2] * self._variance[0] * sizes
        sides = sizes * np.exp(found[:, 2:4] * self._variance[1])
        boxes = np.concatenate((centres - sides / 2, centres + sides / 2), axis=1)
        points = (
            places[:, None] + found[:, 5:].reshape(-1, 5, 2) * self._variance[0] * sizes[:, None]
        )
        scale = np.array(pixels.shape[1::-1], np.float32) / np.array((width, height), np.float32)
        kept = arithmetic.nms(boxes, found[:, 4], IOU)
        return Faces(boxes * np.tile(scale, 2), found[:, 4], points * scale)[kept]

    def _detect(self, image: Image) -> Detections:
        persons = self._persons.find(Scaled.of(image.pixels, 1.0)).persons(self._person_score)
        faces = self.find_faces(image.pixels, self._face_score)
        size = image.width, image.height
        return detections(
            persons.boxes, persons.scores, faces.boxes, faces.scores, *size, faces.points
        )


class _FromPixels(nn.Module):
    """RetinaFace from pixels (n, height, width, 3) uint8 RGB to (n, priors, 15).

    The 15 values are four box offsets, the score, and x, y offsets of five landmarks.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.mean: Tensor
        self.register_buffer("mean", torch.tensor(BGR_MEAN))

    def forward(self, pixels: Tensor) -> Tensor:
        bgr = pixels.flip(3).float() - self.mean
        offsets, scores, points = self.network(bgr.permute(0, 3, 1, 2))
        return torch.cat((offsets, scores[..., 1:], points), dim=2)


def _engine(module: _FromPixels, weights: str, device: str, engine: str) -> Engine:
    """Return an OpenVINO engine on the CPU, with PyTorch as fallback; on a GPU, or if OpenVINO
    cannot convert the network, a PyTorch engine. Always fp32."""
    if choose_engine(engine, device, "fp32") == "openvino":

        def make() -> tuple[Any, dict[str, str]]:
            return graph_of(
                module, (torch.zeros((1, 64, 96, 3), dtype=torch.uint8),), [[-1, -1, -1, 3]]
            ), {}

        try:
            graph, _ = open_graph(f"retinaface-points-{weights[:16]}", "fp32", make)
            return FallbackEngine(graph, lambda: TorchEngine(module, "cpu"))
        except NotConverted as error:
            logger.warning(f"{error}: the detector runs in PyTorch instead, with the same results")
    return TorchEngine(module, device)


def priors_of(
    height: int, width: int, steps: Sequence[int], sizes: Sequence[Sequence[int]]
) -> NDArray[np.float32]:
    """Return RetinaFace's prior boxes (priors, 4): centre x, y, width and height in pixels."""
    grids = []
    for step, sides in zip(steps, sizes, strict=True):
        y, x = np.mgrid[: -(-height // step), : -(-width // step)]
        centres = (np.stack((x, y), axis=2).reshape(-1, 1, 2) + 0.5) * step  # cells, 1, 2
        both = np.broadcast_to(centres, (len(centres), len(sides), 2))
        squares = np.broadcast_to(np.array(sides)[:, None], both.shape)
        grids.append(np.concatenate((both, squares), axis=2).reshape(-1, 4))
    return np.concatenate(grids).astype(np.float32)


def _load(file: Path) -> Any:
    """Load facexlib's network with these weights. Raises WeightsError if they are not RetinaFace
    weights."""
    try:
        from facexlib.detection.retinaface import RetinaFace
    except ImportError as error:
        raise BadInput(
            "the detector `retinaface` needs the package facexlib", hint="pip install facexlib"
        ) from error
    tensors = {name.removeprefix("module."): value for name, value in read_tensors(file)[0].items()}
    kind = next((network for sign, network in NETWORKS.items() if sign in tensors), None)
    if kind is None:
        raise WeightsError(
            f"{file} is not a RetinaFace model of facexlib: it has none of {' or '.join(NETWORKS)}",
            hint="`mivolo weights list` shows the files that are",
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # facexlib uses a deprecated argument of torchvision
        network = RetinaFace(network_name=kind, device="cpu")
    own = network.state_dict()
    wrong = [f"{name} is missing" for name in own if name not in tensors]
    wrong += [f"{name} is not expected" for name in tensors if name not in own]
    wrong += [
        f"{name} has the shape {tuple(tensors[name].shape)} instead of {tuple(value.shape)}"
        for name, value in own.items()
        if name in tensors and tensors[name].shape != value.shape
    ]
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise WeightsError(f"{file} is not RetinaFace with {kind}: {', '.join(wrong[:3])}{more}")
    network.load_state_dict(tensors)
    require_finite(network.state_dict(), file)
    return network


def _shrink(pixels: Pixels) -> Pixels:
    height, width = pixels.shape[:2]
    ratio = LONGEST / max(height, width)
    if ratio >= 1:
        return np.ascontiguousarray(pixels)
    size = max(1, round(width * ratio)), max(1, round(height * ratio))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
