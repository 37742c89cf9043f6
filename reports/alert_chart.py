"""The days around a finding as a picture: what came, and the band it was expected in."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from . import i18n
from .charts import INCHES, LIGHT, Palette

_DPI = 270
_TICKS = 6
_FEWEST = 5


@dataclass(frozen=True, slots=True)
class DayPoint:
    """One day: negatives (None when nobody looked), and the usual range up to ``high``."""

    day: date
    negatives: int | None
    expected: float
    high: float
    alarming: bool


def draw(points: Sequence[DayPoint], locale: str, palette: Palette = LIGHT) -> bytes:
    """A PNG of negative comments a day over their expected band; unread days are hatched."""
    figure = Figure(figsize=INCHES, dpi=_DPI, facecolor=palette.card, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    top = max([_FEWEST, *(max(point.negatives or 0, point.high) for point in points)]) * 1.1
    _style(axes, palette)
    _band(axes, points, palette)
    _bars(axes, points, palette, top)
    step = max(len(points) // _TICKS, 1)
    shown = range(len(points) - 1, -1, -step)
    axes.set_xticks(list(shown), [i18n.format_day(points[place].day, locale) for place in shown])
    axes.set_xlim(-0.7, len(points) - 0.3)
    axes.set_ylim(0, top)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None}, facecolor=palette.card)
    return buffer.getvalue()


def _style(axes: Axes, palette: Palette) -> None:
    axes.set_facecolor(palette.card)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
    axes.tick_params(length=0, labelsize=8, labelcolor=palette.soft)
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(palette.gap)


def _band(axes: Axes, points: Sequence[DayPoint], palette: Palette) -> None:
    places = range(len(points))
    axes.fill_between(
        places, [point.high for point in points], color=palette.gap, alpha=0.35, linewidth=0
    )
    axes.plot(places, [point.expected for point in points], color=palette.soft, linewidth=1)


def _bars(axes: Axes, points: Sequence[DayPoint], palette: Palette, top: float) -> None:
    places = range(len(points))
    unread = [place for place in places if points[place].negatives is None]
    axes.bar(unread, top, width=1, color="none", edgecolor=palette.gap, hatch="////", linewidth=0)
    axes.bar(
        places,
        [point.negatives or 0 for point in points],
        width=0.8,
        color=[palette.now if point.alarming else palette.bar for point in points],
    )
