"""Outlook attention answers as timm's."""

from __future__ import annotations

import pytest
import torch
from timm.models.volo import OutlookAttention

from mivolo_cli.model.outlook import Outlook


@pytest.mark.parametrize("size", [(8, 8), (2, 6), (7, 5), (1, 1), (1, 4)])
def test_it_answers_and_learns_as_timms(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    plain = OutlookAttention(24, 3, kernel_size=3, padding=1, stride=2)
    ours = Outlook(plain)
    assert set(ours.state_dict()) == set(plain.state_dict())
    x = torch.randn(2, *size, 24)
    slopes = []
    for module in (plain, ours):
        leaf = x.clone().requires_grad_()
        (module(leaf) ** 2).sum().backward()
        slopes.append(leaf.grad)
    torch.testing.assert_close(ours(x), plain(x), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(*slopes, atol=1e-4, rtol=1e-4)
