"""A digest becomes a mail: its templates, phrases and pictures brought together."""

from __future__ import annotations

from itertools import groupby

from . import charts
from .phrases import Phrases
from .render import Rendered, embed, render
from .week import Digest, segments

MOST_TOUCHPOINTS = 24
"""A mail above 100 kB is cut by the reader's mail program; the scorecard has them all."""

_IMAGES = {"trend-light@ouvidor": charts.LIGHT, "trend-dark@ouvidor": charts.DARK}


def write(digest: Digest) -> tuple[Rendered, dict[str, bytes]]:
    """The mail's words and its pictures by content id."""
    images = {
        name: charts.trend(digest.trend, digest.locale, palette)
        for name, palette in _IMAGES.items()
    }
    return words(digest), images


def words(digest: Digest) -> Rendered:
    """The mail's words alone."""
    scores = digest.scorecard.scores
    loud = sorted(scores, key=lambda score: -score.mentions)[:MOST_TOUCHPOINTS]
    stages = groupby([score for score in scores if score in loud], key=lambda score: score.stage)
    values = {
        "digest": digest,
        "journey": [(stage, list(scores)) for stage, scores in stages],
        "left_out": len(scores) - len(loud),
        "say": Phrases(digest.locale),
        "images": list(_IMAGES),
        "segments": segments,
    }
    return render("digest", digest.locale, values)


def preview(digest: Digest) -> str:
    """The mail as one HTML file that needs nothing else."""
    rendered, images = write(digest)
    return embed(rendered.html, images)
