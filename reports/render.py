"""Values become a subject, a text and an HTML mail; review text stays harmless on the way.

One mail is three templates: ``NAME.subject.txt``, ``NAME.txt`` and ``NAME.mjml`` (which extends
``base.mjml``). Jinja escapes first, then MJML becomes HTML, so no review text ever reaches MJML or
a browser as markup. Every value passes ``harmless`` as well: control characters break XML, and
direction overrides would turn the text around them.
"""

from __future__ import annotations

import base64
import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import tzinfo
from functools import cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import mrml
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape

from ..storage import privacy
from . import i18n

TEMPLATES = Path(__file__).parent / "templates"
SUBJECT_LENGTH = 180
_LINE = 72
_LONGEST_LINK = 2000
# XML 1.0 has no such characters; MJML refuses the whole mail for one of them.
_NOT_XML = re.compile("[\ufdd0-\ufdef\ufffe\uffff]")


@dataclass(frozen=True, slots=True)
class Rendered:
    """A finished mail: one line of subject, plain text, HTML without foreign resources."""

    subject: str
    text: str
    html: str


def harmless(text: str) -> str:
    """The text without what no reader sees and machines stumble over."""
    return _NOT_XML.sub("", privacy.clean(text))


def safe_link(url: str | None) -> str | None:
    """An address a reader may follow: http or https with a host; else None."""
    if not url or len(url) > _LONGEST_LINK or harmless(url) != url or re.search(r"\s", url):
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return url if parts.scheme in {"http", "https"} and parts.hostname else None


def render(name: str, locale: str, values: Mapping[str, Any]) -> Rendered:
    """Fill the templates of a mail in the reader's language.

    ``values`` are the templates' variables; one that is missing raises jinja2.UndefinedError.
    """
    environment = _environment(locale)
    shared = {"locale": locale, **values}
    subject = environment.get_template(f"{name}.subject.txt").render(shared)
    mjml = environment.get_template(f"{name}.mjml").render(shared)
    return Rendered(
        subject=textwrap.shorten(subject, SUBJECT_LENGTH, placeholder="…"),
        text=_tidy(environment.get_template(f"{name}.txt").render(shared)),
        html=mrml.to_html(mjml, render_options=_options()).content,
    )


@cache
def _options() -> mrml.RenderOptions:
    # For some names in `font-family` it would link a font of somebody else's server.
    return mrml.RenderOptions(fonts={})


def page(name: str, values: Mapping[str, Any]) -> str:
    """A page that stands alone, in English: for whoever runs the house."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined
    )
    environment.filters["share"] = lambda value: "–" if value is None else f"{value:.3f}"
    return environment.get_template(name).render(values)


def localised(name: str, locale: str, values: Mapping[str, Any]) -> str:
    """A page that stands alone, in the language of whoever opens it."""
    return _environment(locale).get_template(name).render({"locale": locale, **values})


def embed(html: str, images: Mapping[str, bytes]) -> str:
    """The HTML with its ``cid:`` pictures inside, for a file that stands alone."""
    for name, png in images.items():
        data = base64.b64encode(png).decode("ascii")
        html = html.replace(f"cid:{name}", f"data:image/png;base64,{data}")
    return html


@cache
def _environment(locale: str) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=select_autoescape(enabled_extensions=("mjml", "html"), default=False),
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    environment.install_gettext_translations(i18n.translator(locale), newstyle=True)  # type: ignore[attr-defined]  # the extension adds it
    environment.filters |= _filters(locale)
    return environment


def _filters(locale: str) -> dict[str, Any]:
    bound = {
        "change": i18n.format_change,
        "date": i18n.format_date,
        "day": i18n.format_day,
        "language": i18n.language_name,
        "listed": i18n.format_list,
        "number": i18n.format_number,
        "percent": i18n.format_percent,
        "score": i18n.format_score,
    }
    filters: dict[str, Any] = {
        name: partial(_localised, function, locale) for name, function in bound.items()
    }
    filters["moment"] = lambda moment, zone: _moment(moment, zone, locale)
    filters["span"] = lambda days: i18n.format_span(days[0], days[1], locale)
    return filters | {"verbatim": verbatim, "quoted": quoted, "wrapped": wrapped, "link": safe_link}


def _localised(function: Any, locale: str, value: Any, *more: Any) -> Any:
    return function(value, locale, *more)


def _moment(moment: Any, zone: tzinfo, locale: str) -> str:
    return i18n.format_moment(moment, locale, zone)


def _finalize(value: Any) -> Any:
    if isinstance(value, Markup):
        return Markup(harmless(str(value)))  # noqa: S704 - markup before, only made shorter  # nosec B704
    return harmless(value) if isinstance(value, str) else value


def verbatim(text: str) -> Markup:
    """A person's words for HTML: escaped, line breaks kept, and addresses that stay dead.

    Mail programs turn ``https://…`` into links by themselves; a word-break opportunity, which is
    no character, keeps a stranger's address from becoming one.
    """
    safe = str(escape(harmless(text)))
    for live in ("://", "www."):
        safe = safe.replace(live, live[0] + "<wbr />" + live[1:])
    return Markup(safe.replace("\n", "<br />"))  # noqa: S704 - escaped above  # nosec B704


def wrapped(text: str, indent: str = "") -> str:
    """Plain text in lines of at most 72 characters."""
    return textwrap.fill(
        harmless(text), _LINE, initial_indent=indent, subsequent_indent=indent,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def quoted(text: str) -> str:
    """A person's words for plain text: each line marked, so that none looks like ours."""
    return "\n".join(wrapped(line, "> ") for line in text.splitlines() if line.strip())


def _tidy(text: str) -> str:
    """No blank line doubled, none at the ends, no trailing blanks."""
    lines = "\n".join(line.rstrip() for line in text.splitlines())
    return re.sub(r"\n{3,}", "\n\n", lines).strip() + "\n"
