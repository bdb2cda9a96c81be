"""Small networks, and batches for them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mivolo_cli.records import Pixels

GPU = "meta"
"""A device that PyTorch has everywhere and that holds no numbers: whatever is asked of it fails, as
on a broken GPU."""


class Sums(nn.Module):
    """Adds a weight to the sum of each picture, where its first input is there."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([0.25]))

    def forward(self, pixels: Tensor, present: Tensor) -> Tensor:
        assert not torch.is_grad_enabled() and not self.training
        return (pixels.float().sum(dim=(1, 2, 3)) * present[:, 0] + self.weight)[:, None]


class Product(nn.Module):
    """Multiplies each picture by a matrix."""

    def __init__(self, weights: NDArray[np.float32]) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.from_numpy(weights))

    def forward(self, pixels: Tensor, present: Tensor) -> Tensor:
        return pixels.flatten(1).float() @ self.weights


def batch() -> tuple[Pixels, NDArray[np.bool_]]:
    """Two pictures, and that the second one has no first input."""
    pixels = np.arange(2 * 4 * 4 * 6, dtype=np.uint8).reshape(2, 4, 4, 6)
    return pixels, np.array([[True, True], [False, True]])


def matrix() -> NDArray[np.float32]:
    """From 96 values, the size of a picture of the batch, to 5."""
    return np.random.default_rng(0).standard_normal((96, 5), dtype=np.float32)
