"""Plots of an evaluation: predicted against true age, error by age, and interval coverage."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..atomic import draft, real
from ..errors import OutputError
from .metrics import BANDS, Outcome

Points = NDArray[np.float64]
BLUE, GREY, RED = "#1f5fa8", "#8a8f98", "#c2402a"


def save_plots(outcomes: Sequence[Outcome], title: str, folder: Path, stem: str) -> list[Path]:
    """Write PNG files named after `stem`, as many as the labels allow (none without known ages).

    Raises OutputError if the folder cannot be written to.
    """
    known = [
        (o.label.age, o.prediction)
        for o in outcomes
        if o.label.age is not None and o.prediction is not None and o.prediction.age is not None
    ]
    if not known:
        return []
    points = np.array([(age, p.age, p.age_low, p.age_high) for age, p in known], np.float64)
    drawings = {"ages": draw_ages, "errors": draw_errors}
    if np.isfinite(points[:, 3]).any():
        drawings["intervals"] = draw_intervals
    files = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, draw in drawings.items():
            files.append(_save(points, draw, title, folder / f"{stem}-{name}.png"))
    except OSError as error:
        raise OutputError(
            f"cannot write plots to {folder}: {error.strerror}", hint="choose another folder"
        ) from error
    return files


def draw_ages(axes: Axes, points: Points) -> None:
    """Plot predicted against true ages. Columns of `points`, here and below, in years: true age,
    predicted age, ends of the interval."""
    end = float(np.nanmax(points[:, :2])) + 2
    axes.plot([0, end], [0, end], color=GREY, linewidth=1, zorder=1)
    axes.scatter(
        points[:, 0],
        points[:, 1],
        s=9,
        alpha=max(0.1, min(0.8, 400 / len(points))),
        color=BLUE,
        linewidths=0,
    )
    axes.set(
        xlabel="true age (years)",
        ylabel="predicted age (years)",
        xlim=(0, end),
        ylim=(0, end),
        aspect="equal",
    )


def draw_errors(axes: Axes, points: Points) -> None:
    ages, errors = points[:, 0], points[:, 1] - points[:, 0]
    centres = np.arange(0, ages.max() + 1, 2.0)
    near = [errors[np.abs(ages - centre) <= 2.5] for centre in centres]
    shown = [
        (centre, *np.percentile(group, (10, 50, 90)))
        for centre, group in zip(centres, near, strict=True)
        if len(group) >= 5
    ]
    axes.axhline(0, color=GREY, linewidth=1)
    axes.scatter(ages, errors, s=6, alpha=max(0.05, min(0.8, 100 / len(ages))), color=BLUE)
    if shown:
        centre, low, middle, high = np.array(shown).T
        axes.fill_between(
            centre, low, high, color=BLUE, alpha=0.2, linewidth=0, label="8 of 10 people"
        )
        axes.plot(centre, middle, color=BLUE, label="median")
        axes.legend(frameon=False)
    axes.set(xlabel="true age (years)", ylabel="predicted - true (years)")


def draw_intervals(axes: Axes, points: Points) -> None:
    """Plot the share of intervals that contain the true age, by predicted age."""
    has = points[np.isfinite(points[:, 3])]
    holds = (np.nan_to_num(has[:, 2]) <= has[:, 0]) & (has[:, 0] <= has[:, 3])
    groups = [
        (low, high, holds[(has[:, 1] >= low) & (has[:, 1] < high + 1)]) for low, high in BANDS
    ]
    groups = [(low, high, group) for low, high, group in groups if len(group)]
    names = [f"{low}-{high}" if high < BANDS[-1][1] else f"{low}+" for low, high, _ in groups]
    shares = [group.mean() for _, _, group in groups]
    spread = [
        np.sqrt(share * (1 - share) / len(group)) * 1.96
        for share, (_, _, group) in zip(shares, groups, strict=True)
    ]
    axes.axhline(0.8, color=RED, linewidth=1, label="80 %")
    axes.errorbar(names, shares, yerr=spread, fmt="o", color=BLUE, capsize=3)
    axes.legend(frameon=False)
    axes.set(
        xlabel="predicted age (years)",
        ylabel="share of intervals that hold the age",
        ylim=(0, 1.02),
    )


def _save(points: Points, draw: object, title: str, file: Path) -> Path:
    assert callable(draw)
    with matplotlib.rc_context(
        {"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}
    ):
        figure = Figure(figsize=(6, 5), dpi=130, layout="constrained")
        axes = figure.subplots()
        draw(axes, points)
        axes.set_title(title, fontsize=10)
        with draft(real(file)) as new:
            figure.savefig(new.file, format="png")
            new.finish()
            new.publish()
    return file
