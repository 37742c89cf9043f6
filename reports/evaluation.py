"""The measure of a tagger as one page: figures, pictures, and what it gets wrong most.

For whoever runs the house, so in English. The page carries its pictures and asks nobody for more.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from . import render
from .charts import LIGHT

_DPI = 170
_FEW = 20


def page(found: Mapping[str, Any], *, source: str) -> str:
    """HTML of an evaluation as JSON shows it; ``source`` says what was measured on."""
    pictures = {}
    if found["confusion"]:
        pictures["coverage"] = _drawn(_coverage, found["coverage"], (5.0, 3.3))
        pictures["confusion"] = _drawn(_confusion, found["confusion"], (5.0, 3.3))
    values = {"found": found, "source": source, "pictures": pictures, "few": _FEW}
    return render.page("evaluation.html", values)


def _drawn(draw: Any, values: Any, inches: tuple[float, float]) -> str:
    """A PNG as the address of an image."""
    figure = Figure(figsize=inches, dpi=_DPI, facecolor=LIGHT.card, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.tick_params(colors=LIGHT.soft, labelsize=8)
    draw(axes, values)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None}, facecolor=LIGHT.card)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _coverage(axes: Axes, points: Sequence[Mapping[str, float]]) -> None:
    axes.plot(
        [100 * each["share"] for each in points],
        [100 * each["accuracy"] for each in points],
        color=LIGHT.now,
        marker="o",
        markersize=3,
    )
    axes.set_xlabel("share of texts kept, the surest first (%)", fontsize=8, color=LIGHT.soft)
    axes.set_ylabel("right (%)", fontsize=8, color=LIGHT.soft)
    axes.grid(alpha=0.25)
    axes.set_xlim(0, 102)


def _confusion(axes: Axes, counts: Mapping[str, Mapping[str, int]]) -> None:
    names = list(counts)
    rows = [[counts[gold][said] for said in names] for gold in names]
    shares = [[n / max(1, sum(row)) for n in row] for row in rows]
    axes.imshow(shares, cmap="Reds", vmin=0, vmax=1, aspect="auto")
    for y, row in enumerate(rows):
        for x, count in enumerate(row):
            dark = shares[y][x] > 0.55  # noqa: PLR2004 - where black letters end
            axes.text(x, y, str(count), ha="center", va="center", color="w" if dark else "k")
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("read as", fontsize=8, color=LIGHT.soft)
    axes.set_ylabel("is", fontsize=8, color=LIGHT.soft)
