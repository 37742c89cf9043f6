"""The trend as a picture, drawn for a light and for a dark background."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from . import i18n
from .week import WeekPoint

INCHES = (4.4, 1.7)
"""Small, so that its letters stay readable on a telephone; wider screens show it larger."""

_DPI = 270
_FEWEST = 5


@dataclass(frozen=True, slots=True)
class Palette:
    """The colours of one background, the same as the mail's own."""

    card: str
    ink: str
    soft: str
    bar: str
    now: str
    gap: str


LIGHT = Palette("#ffffff", "#1d2730", "#55616c", "#c77f78", "#b3261e", "#b8c2c8")
DARK = Palette("#1e2429", "#e8ecef", "#aab4bd", "#a5625c", "#ff9c92", "#4b5660")


@lru_cache(maxsize=16)
def trend(points: tuple[WeekPoint, ...], locale: str, palette: Palette = LIGHT) -> bytes:
    """A PNG of negative comments a week; weeks that were not wholly read are hatched.

    A bar that may be too short, because not every source was read, is hatched as well; a week
    nobody read has no bar but a hatched field, so that it cannot be taken for a zero. Drawing takes
    a fifth of a second, and most readers of a week get the same picture: it is drawn once.
    """
    figure = Figure(figsize=INCHES, dpi=_DPI, facecolor=palette.card, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    _style(axes, palette)
    top = max([_FEWEST, *(point.negatives for point in points)])
    for place, point in enumerate(points):
        _week(axes, place, point, top, palette, last=place == len(points) - 1, locale=locale)
    axes.set_xticks(range(len(points)), [i18n.format_short_day(p.since, locale) for p in points])
    axes.set_xlim(-0.6, len(points) - 0.4)
    axes.set_ylim(0, top * 1.18)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None}, facecolor=palette.card)
    return buffer.getvalue()


def _style(axes: Axes, palette: Palette) -> None:
    axes.set_facecolor(palette.card)
    axes.set_yticks([])
    axes.tick_params(axis="x", length=0, labelsize=9.5, labelcolor=palette.soft)
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(palette.gap)


def _week(
    axes: Axes,
    place: int,
    point: WeekPoint,
    top: int,
    palette: Palette,
    *,
    last: bool,
    locale: str,
) -> None:
    if point.missing:
        axes.bar(
            place, top, width=0.7, color=palette.card, edgecolor=palette.gap, hatch="///", lw=0
        )
        axes.text(place, top / 2, "?", ha="center", va="center", color=palette.soft, fontsize=12)
        return
    axes.bar(
        place,
        point.negatives,
        width=0.7,
        color=palette.now if last else palette.bar,
        edgecolor=palette.card,
        hatch=None if point.observed == 1 else "///",
        lw=0,
    )
    axes.text(
        place,
        point.negatives + top * 0.03,
        i18n.format_number(point.negatives, locale),
        ha="center",
        color=palette.ink,
        fontsize=10.5,
        fontweight="bold" if last else "normal",
    )
