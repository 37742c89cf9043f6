"""The mail against the standards: HTML (WHATWG), contrast (WCAG 2 AA), links, pictures, size."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import html5lib
import pytest
from lxml import html as lxml_html
from lxml.cssselect import CSSSelector
from stored import stored_in
from test_reports_alert_letter import notice
from test_reports_golden import (
    WEEKS,
    Make,
    edit,
    gap,
    hostile,
    long_words,
    many,
    other_scripts,
    praise,
)
from test_reports_render import HOSTILE, MOST, contrast, poisoned
from weeks import NOW, WEEK, World

from ouvidor.config import LOCALES
from ouvidor.reports import alert_letter, charts, letter
from ouvidor.reports.alert_letter import Turn
from ouvidor.reports.digest import build
from ouvidor.storage.database import open_database
from ouvidor.storage.feedback import Door

AA = 4.5
DARK_MODE = "@media (prefers-color-scheme: dark) {"
RULE = re.compile(r"([^{}]+)\{([^{}]*)\}")
COLOUR = re.compile(r"(?:^|[;\s])color:\s*(#\w{6})")
GROUND = re.compile(r"(?:^|[;\s])background(?:-color)?:\s*(#\w{6})")
DISPLAY = re.compile(r"(?:^|[;\s])display:\s*(\w+)")
LOADING = {"src", "background", "srcset", "poster", "data", "action", "formaction"}
# What Outlook needs and no standard knows; nothing else may be wrong.
OUTLOOK = re.compile(r"mso-|xmlns:|supported-color-schemes")
ALL: list[Make] = [many, gap, edit, hostile, long_words, other_scripts, praise]


@pytest.fixture(scope="module", params=ALL, ids=[each.__name__ for each in ALL])
def pages(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """The HTML of a hand-made week in every language."""
    folder = tmp_path_factory.mktemp("week")
    database = open_database(stored_in(folder))
    door = Door(b"a key of thirty-two bytes, really", ZoneInfo("America/Sao_Paulo"))
    world = World(database, door)
    request.param(world)
    yield {
        locale: letter.words(build(database, world.config, now=NOW, week=WEEK, locale=locale)).html
        for locale in LOCALES
    }
    database.close()


def block(css: str, head: str) -> str:
    """What stands between the braces after a head."""
    start = css.index(head) + len(head)
    depth, end = 1, start
    while depth:
        depth += {"{": 1, "}": -1}.get(css[end], 0)
        end += 1
    return css[start : end - 1]


class Looks:
    """What a browser makes of the colours, in light or dark mode."""

    def __init__(self, page: str, *, dark: bool) -> None:
        self.root = lxml_html.document_fromstring(page)
        css = "".join(style.text or "" for style in self.root.iter("style"))
        mode = block(css, DARK_MODE)
        self._rules: dict[object, list[str]] = {}
        for sheet, loud in ((css.replace(mode, ""), False), (mode, True)):
            if not loud or dark:
                self._apply(re.sub(r"@media[^{]*\{(?:[^{}]*\{[^{}]*\})*[^{}]*\}", "", sheet))

    def _apply(self, sheet: str) -> None:
        for selectors, style in RULE.findall(sheet):
            for selector in selectors.split(","):
                if ":" in selector:
                    continue
                found = CSSSelector(selector.strip())
                weight = (selector.count("."), selector.count(">"))
                for element in found(self.root):
                    loud = "!important" in style
                    self._rules.setdefault(element, []).append((loud, weight, style))  # type: ignore[arg-type]

    def own(self, element: object, what: re.Pattern[str]) -> str | None:
        """What an element says itself: loud rules, its style, quiet rules; else nothing."""
        rules = sorted(
            (each for each in self._rules.get(element, []) if what.search(each[2])),  # type: ignore[misc]
            key=lambda each: each[:2],  # type: ignore[index]
        )
        inline = element.get("style") or ""  # type: ignore[attr-defined]
        if rules and rules[-1][0]:
            return what.findall(rules[-1][2])[-1]  # type: ignore[no-any-return]
        if found := what.findall(inline):
            return str(found[-1])
        return what.findall(rules[-1][2])[-1] if rules else None  # type: ignore[no-any-return]

    def found(self, element: object, what: re.Pattern[str]) -> str | None:
        """The same, of the nearest that says anything."""
        while element is not None:
            if said := self.own(element, what):
                return said
            element = element.getparent()  # type: ignore[attr-defined]
        return None

    def hidden(self, element: object) -> bool:
        while element is not None:
            if self.own(element, DISPLAY) == "none":
                return True
            element = element.getparent()  # type: ignore[attr-defined]
        return False

    def texts(self) -> Iterator[tuple[str, str, str]]:
        """Every text that is shown, with its colour and its ground; a picture's words, too."""
        for element in self.root.find("body").iter():
            if not isinstance(element.tag, str) or element.tag == "style":
                continue
            said = [(element, element.text), (element, element.get("alt"))]
            said += [(element, child.tail) for child in element]
            for where, text in said:
                if text and text.strip("\xa0 \n\t\u200c\u2060") and not self.hidden(where):
                    colour, ground = self.found(where, COLOUR), self.found(where, GROUND)
                    assert colour is not None, text
                    assert ground is not None, text
                    yield text.strip(), colour, ground


def test_it_is_html(pages: dict[str, str]) -> None:
    for page in pages.values():
        html5lib.HTMLParser(strict=True).parse(page)  # raises at the first error
        assert not re.search(r"</?mj", page)
        assert len(page.encode()) < MOST


@pytest.mark.parametrize("wrong", ["<p id=a id=b>", "<div>", "&nope;", "<mj-text>x</mj-text>"])
def test_what_is_no_html_is_seen(wrong: str) -> None:
    page = f"<!doctype html><title>x</title>{wrong}"
    try:
        html5lib.HTMLParser(strict=True).parse(page)
    except html5lib.html5parser.ParseError:
        return
    assert re.search(r"</?mj", page)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_text_stands_out_from_its_ground(pages: dict[str, str], *, dark: bool) -> None:
    """As a browser would compute it from the styles, and not from a table of colours."""
    for page in pages.values():
        seen = list(Looks(page, dark=dark).texts())
        assert len(seen) > 20
        faint = {each for each in seen if contrast(*each[1:]) < AA}
        assert not faint
        grounds = {ground for _, _, ground in seen}
        assert all((contrast(ground, "#ffffff") > AA) == dark for ground in grounds), grounds


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("turn", [Turn.OPENED, Turn.ESCALATED, Turn.RESOLVED])
def test_the_mail_of_an_alert_too(turn: Turn, locale: str) -> None:
    page = alert_letter.write(notice(turn), locale)[0].html
    html5lib.HTMLParser(strict=True).parse(page)
    for dark in (False, True):
        seen = list(Looks(page, dark=dark).texts())
        assert seen
        assert not {each for each in seen if contrast(*each[1:]) < AA}


def test_faint_words_would_be_seen() -> None:
    dark = f"{DARK_MODE} .a {{ color: #333333 !important; }} }}"
    page = (
        f"<html><head><style>.b {{ color: #dddddd; }} {dark}</style></head>"
        '<body style="background:#ffffff"><p class="a" style="color:#000000">one</p>'
        '<p class="b">two</p><p style="color:#111111;display:none">three</p></body></html>'
    )
    light = [(text, colour) for text, colour, _ in Looks(page, dark=False).texts()]
    assert light == [("one", "#000000"), ("two", "#dddddd")]
    assert next(Looks(page, dark=True).texts())[:2] == ("one", "#333333")


def test_links_pictures_and_nothing_foreign(pages: dict[str, str]) -> None:
    for locale, page in pages.items():
        root = lxml_html.document_fromstring(page)
        assert root.get("lang") == locale
        for element in root.iter():
            if not isinstance(element.tag, str):
                continue
            for name, value in element.attrib.items():
                if name in LOADING:
                    assert value.startswith("cid:"), (element.tag, name, value)
                assert not name.startswith("on"), (element.tag, name)
            if element.tag == "img":
                assert len(element.get("alt", "")) > 40
            if element.tag == "a":
                assert re.match(r"https?://[^/]+", element.get("href", ""))
                assert element.text_content().strip()
            if element.tag == "table":
                assert element.get("role") == "presentation"
        styles = "".join(style.text or "" for style in root.iter("style"))
        assert not re.search(r"url\(|@import|@font-face", styles)
        assert not list(root.iter("script", "link", "iframe", "object", "form"))
        heads = [each.tag for each in root.iter("h1", "h2", "h3")]
        assert heads[0] == "h1"
        assert heads.count("h1") == 1


def test_the_pictures_can_be_read() -> None:
    for palette in (charts.LIGHT, charts.DARK):
        for text in (palette.ink, palette.soft):
            assert contrast(text, palette.card) >= AA
        for bar in (palette.bar, palette.now):
            assert contrast(bar, palette.card) >= 3  # WCAG 2.1, 1.4.11


def test_every_kind_of_week_is_held_against_the_standard() -> None:
    assert {each.__name__ for each in ALL} >= {each.__name__ for each in WEEKS} - {"nothing", "one"}


@pytest.mark.slow
@pytest.mark.skipif("OUVIDOR_VNU" not in os.environ, reason="OUVIDOR_VNU names no vnu.jar")
def test_the_validator_of_the_w3c_finds_nothing_of_ours(
    pages: dict[str, str], tmp_path: Path
) -> None:
    files = []
    for locale, page in {**pages, "hostile": letter.words(poisoned(HOSTILE)).html}.items():
        files.append(tmp_path / f"{locale}.html")
        files[-1].write_text(page, encoding="utf-8")
    command = ["java", "-jar", os.environ["OUVIDOR_VNU"], "--errors-only", "--format", "json"]
    done = subprocess.run([*command, *map(str, files)], capture_output=True, text=True, check=False)
    errors = json.loads(done.stderr)["messages"]
    assert errors
    assert not [each for each in errors if not OUTLOOK.search(each["message"])]
