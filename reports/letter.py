"""A digest becomes a mail: its templates, phrases and pictures brought together."""

from __future__ import annotations

from itertools import groupby

from . import charts
from .phrases import Phrases
from .render import Rendered, embed, render
from .week import Digest, segments

LARGEST = 100_000
"""Bytes of HTML: a little above that, mail programs cut a mail."""

MOST_TOUCHPOINTS = (24, 16, 10, 6, 0)
"""As many as fit, the most mentioned ones; the scorecard has them all."""

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
    for most in MOST_TOUCHPOINTS:
        rendered = _words(digest, most)
        if len(rendered.html.encode()) < LARGEST:
            break
    return rendered


def _words(digest: Digest, most: int) -> Rendered:
    scores = digest.scorecard.scores
    loud = sorted(scores, key=lambda score: -score.mentions)[:most]
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
