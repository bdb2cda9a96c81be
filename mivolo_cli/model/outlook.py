"""VOLO's outlook attention without generic unfold and fold, which copy and transpose needlessly."""

from timm.models.volo import OutlookAttention
from torch import Tensor, nn, stack
from torch.nn import functional

KERNEL, STRIDE, PADDING = 3, 2, 1
"""Windows of 3 x 3 around every second position, as in all of VOLO's outlookers; nothing else is
supported here."""


class Outlook(nn.Module):
    """timm's outlook attention, with the same weights and names: (n, h, w, dim) -> the same shape.

    Source: Yuan et al., "VOLO: Vision Outlooker for Visual Recognition" (arXiv 2106.13112), section
    3.2.
    """

    def __init__(self, plain: OutlookAttention) -> None:
        super().__init__()
        assert (plain.kernel_size, plain.stride, plain.padding) == (KERNEL, STRIDE, PADDING)
        self.heads, self.scale = plain.num_heads, plain.scale
        self.v, self.attn, self.proj, self.pool = plain.v, plain.attn, plain.proj, plain.pool

    def forward(self, x: Tensor) -> Tensor:
        n, height, width, dim = x.shape
        pooled = self.pool(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)  # n, h/2, w/2, dim
        weights = self.attn(pooled).unflatten(-1, (self.heads, KERNEL**2, KERNEL**2))
        values = self._windows(self.v(x), *pooled.shape[1:3])
        seen = (weights * self.scale).softmax(dim=-1) @ values  # n, h/2, w/2, heads, 9, dim / heads
        return self.proj(_fold(seen)[:, :height, :width])

    def _windows(self, v: Tensor, rows: int, columns: int) -> Tensor:
        """(n, h, w, dim) -> (n, rows, columns, heads, 9, dim / heads): the windows around every
        second position."""
        below, right = STRIDE * rows - v.shape[1], STRIDE * columns - v.shape[2]
        v = functional.pad(v, (0, 0, PADDING, right, PADDING, below)).unflatten(
            -1, (self.heads, -1)
        )
        return stack(
            [
                v[:, y : y + 2 * rows - 1 : 2, x : x + 2 * columns - 1 : 2]
                for y in range(KERNEL)
                for x in range(KERNEL)
            ],
            dim=4,
        )


def _fold(windows: Tensor) -> Tensor:
    """Invert `_windows`, summing overlaps: (n, h, w, heads, 9, d) -> (n, 2 h, 2 w, heads * d).

    The centre of a window lies on an even row and column; odd ones are at the edges of two windows,
    or of four.
    """
    window = windows.unflatten(4, (KERNEL, KERNEL))
    before, middle, after = window.unbind(4)  # n, h, w, heads, 3, d
    rows = stack((middle, after + _shift(before, 1)), dim=2).flatten(1, 2)  # n, 2 h, w, heads, 3, d
    before, middle, after = rows.unbind(4)  # n, 2 h, w, heads, d
    return stack((middle, after + _shift(before, 2)), dim=3).flatten(2, 3).flatten(3)


def _shift(x: Tensor, dim: int) -> Tensor:
    """Return each position's next neighbour along `dim`; zero for the last."""
    padding = [0] * (2 * (x.ndim - dim - 1)) + [0, 1]
    return functional.pad(x.narrow(dim, 1, x.shape[dim] - 1), padding)
