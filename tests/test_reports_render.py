"""What readers see: whole on every screen, and harmless whatever customers wrote."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from zoneinfo import ZoneInfo

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ouvidor.config import LOCALES
from ouvidor.reports import letter, render
from ouvidor.reports.scorecard import Score, Scorecard, Telling
from ouvidor.reports.voices import CUT, Role, Voice, best, excerpt
from ouvidor.reports.week import (
    AlertLine,
    Digest,
    Replies,
    Share,
    SourceWeek,
    Trust,
    Turn,
    WeekPoint,
    segments,
)
from ouvidor.storage.vocabulary import AlertState, Outcome, Severity, Stage

MONDAY, SUNDAY = date(2026, 11, 16), date(2026, 11, 22)
NOW = datetime(2026, 11, 23, 11, tzinfo=UTC)
MOST = 100_000
"""Bytes of HTML: Gmail cuts a mail a little above."""

HOSTILE = (
    "<script>alert(1)</script></mj-text><mj-raw><img src=x onerror=alert(2)></mj-raw>"
    "{{ 7 * 7 }}{% raw %}%(n)s &nope; &lt;b&gt; \x00\x0b\u202eesrever\u2066 ]]> <!-- \ufffe"
)
WORD = "ã" * 900


def score(key: str = "delivery", **changes: object) -> Score:
    made = Score(
        touchpoint=key,
        name=f"Touchpoint {key}",
        stage=Stage.AFTER,
        owner=None,
        mentions=37,
        negatives=24,
        telling=Telling.TOLD,
        score=2.4,
        low=2.0,
        high=2.8,
        previous=3.3,
        change=-0.9,
        stands_out=True,
        target=4.0,
        gap=1.6,
        clear_gap=True,
        cost=38.4,
        assessed=3,
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # a test names its fields freely


def voice(text: str, role: Role = Role.WORST, url: str | None = None) -> Voice:
    return Voice(
        role=role,
        feedback_id=1,
        excerpt=excerpt(text),
        source="shop-reviews",
        day=MONDAY,
        stars=1,
        language="es",
        touchpoint="delivery",
        url=url,
    )


def source(name: str = "shop-reviews", **changes: object) -> SourceWeek:
    made = SourceWeek(
        name=name,
        observed_days=7,
        outcome=Outcome.COMPLETE,
        message="",
        last_run_at=NOW,
        last_new_at=NOW,
        silent_days=0,
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # see above


def alert(**changes: object) -> AlertLine:
    made = AlertLine(
        id=1,
        turn=Turn.OPENED,
        touchpoint="delivery",
        source="",
        severity=Severity.CRITICAL,
        state=AlertState.OPEN,
        owner="ana@example.com",
        opened_on=MONDAY,
        first_day=MONDAY,
        last_day=MONDAY + timedelta(days=2),
        observed=24,
        expected=9.2,
        reason="",
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # see above


def digest(locale: str = "en", **changes: object) -> Digest:
    scores = (
        score("site", stage=Stage.BEFORE, stands_out=False, clear_gap=False, gap=0.3),
        score(),
        score("few", telling=Telling.FEW, score=None, mentions=4, negatives=1, assessed=None),
        score("quiet", telling=Telling.SILENT, score=None, mentions=0, negatives=0),
        score("unread", telling=Telling.UNOBSERVED, score=None, mentions=0, negatives=0),
    )
    trend = tuple(
        WeekPoint(
            since=MONDAY - timedelta(weeks=7 - n),
            negatives=20 + n,
            mentions=80,
            observed=1.0 if n else 0.5,
        )
        for n in range(8)
    )
    made = Digest(
        week="2026-W47",
        since=MONDAY,
        until=SUNDAY,
        brand="Casa Aurora",
        locale=locale,
        zone=ZoneInfo("America/Sao_Paulo"),
        subscriber="ana",
        touchpoints=(),
        names={each.touchpoint: each.name for each in scores},
        total=412,
        share=Share(96, 400),
        before=Share(300, 1600),
        scorecard=Scorecard(since=MONDAY, until=SUNDAY, scores=scores),
        trend=trend,
        alerts=(alert(),),
        rehearsed=1,
        voices=(
            voice("El pedido llegó roto.", url="https://shop.example/r/1?a=1&b=2"),
            voice("Tudo certo.", Role.TYPICAL),
            voice("Adorei!", Role.PRAISE),
        ),
        replies=Replies(public=300, answered=120, negative=80, negative_answered=20),
        trust=Trust(
            sources=(source(), source("app", observed_days=3, outcome=Outcome.BLOCKED)),
            languages=(("pt", 380), ("es", 20)),
            taggers=("tagger 1",),
            annotated=400,
            uncertain=31,
            pending=12,
            corrected=2,
            mismatches=3,
        ),
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # see above


class Page(HTMLParser):
    """The tags, attributes and readable text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self._hidden = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self._hidden += tag in {"style", "title", "script"}

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in {"style", "title", "script"}

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


def html(made: Digest) -> str:
    return letter.words(made).html


@pytest.mark.parametrize("locale", LOCALES)
def test_a_full_week_in_every_language(locale: str) -> None:
    made = letter.words(digest(locale))
    page = Page(made.html)
    assert f'lang="{locale}"' in made.html
    assert "mj-" not in re.sub(r"mj-(?:column-per-\d+|outlook-group-fix)", "", made.html)
    assert len(made.html.encode()) < MOST
    assert {"h1", "h2", "img"} <= set(page.tags)
    for part in (page.text, made.text):
        assert "El pedido llegó roto." in part
        assert ("2.4" if locale == "en" else "2,4") in part
        assert "%(" not in part
        assert "95%" in part or "95 %" in part


def test_text_and_html_say_the_same_numbers() -> None:
    made = letter.words(digest())
    text = " ".join(made.text.split())
    page = Page(made.html).text
    for fact in (
        "24 negative comments, about 9.2 expected",
        "37 mentions, 24 negative",
        "95% interval 2.0 to 2.8",
        "−0.9 against the four weeks before, more than chance",
        "target 4.0: 1.6 short",
        "the team says 3",
        "Too few to tell (4 mentions, 1 negative)",
        "Nobody spoke of it; every source was read",
        "Not observed: no mention, and not every source was read",
        "95% interval 20% to 28%",
        "3 of 7 days read; the source refused us",
        "31 of 400 labels are uncertain.",
        "12 comments wait for their labels",
        "In 3 comments the stars contradict the words.",
        "120 of 300 public comments have a public answer",
        "Portuguese 380, Spanish 20",
        "1 finding in rehearsal was told to nobody",
    ):
        assert fact in text, fact
        assert fact in page, fact


def test_the_picture_has_its_numbers_as_text() -> None:
    made = digest()
    alternatives = {
        v for tag, name, v in Page(html(made)).attributes if (tag, name) == ("img", "alt")
    }
    [alternative] = alternatives
    assert "Sep 28: 20 negative of 80 (50% of days read)" in alternative
    assert "Nov 16: 27 negative of 80" in alternative


def test_nothing_foreign_is_loaded() -> None:
    page = html(digest())
    for tag, name, value in Page(page).attributes:
        if name in {"src", "background", "srcset", "poster", "data"}:
            assert value.startswith("cid:"), (tag, name, value)
        if name == "href":
            assert value == "https://shop.example/r/1?a=1&b=2"
    assert not re.search(r"url\(|@import|<link|<script", page)


def test_the_preview_stands_alone() -> None:
    page = letter.preview(digest())
    sources = [v for tag, name, v in Page(page).attributes if (tag, name) == ("img", "src")]
    assert len(sources) == 2
    assert all(value.startswith("data:image/png;base64,iVBOR") for value in sources)


def poisoned(text: str) -> Digest:
    return digest(
        brand=text,
        names={"delivery": text},
        scorecard=Scorecard(since=MONDAY, until=SUNDAY, scores=(score(name=text),)),
        alerts=(alert(owner=text, source=text), alert(turn=Turn.CLOSED, reason=text)),
        voices=(voice(text), voice(text, Role.PRAISE, url=f"https://x.example/{text}")),
        trust=replace(
            digest().trust,
            sources=(source(text, outcome=Outcome.BLOCKED),),
            taggers=(text,),
            languages=((text, 1),),
        ),
    )


def test_hostile_text_is_only_text() -> None:
    made = letter.words(poisoned(HOSTILE))
    page, safe = Page(made.html), Page(html(digest()))
    assert set(page.tags) - {"wbr", "br"} <= set(safe.tags)
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    shown = "<script>alert(1)</script></mj-text><mj-raw><img src=x onerror=alert(2)></mj-raw>"
    assert shown in page.text
    assert "{{ 7 * 7 }}{% raw %}%(n)s &nope; &lt;b&gt;" in page.text
    assert "49" not in page.text
    for part in (made.html, made.text, made.subject):
        assert not re.search("[\x00\x0b\u202e\u2066\ufffe]", part)
    assert "\n" not in made.subject
    assert len(made.html.encode()) < MOST


@given(st.text(st.characters(exclude_categories=[]), max_size=80))
@hypothesis.settings(max_examples=25, deadline=None)
def test_no_text_breaks_the_mail(text: str) -> None:
    made = letter.words(poisoned(text))
    made.html.encode()
    made.text.encode()
    assert "<script" not in made.html
    assert not [name for _, name, _ in Page(made.html).attributes if name.startswith("on")]


def test_customers_cannot_speak_in_our_name_in_plain_text() -> None:
    text = letter.words(digest(voices=(voice("Ok.\n\nALERTS\n------\n* All fine"),))).text
    for line in ("ALERTS", "------", "* All fine"):
        assert f"> {line}" in text


def test_a_strangers_address_stays_dead() -> None:
    page = html(digest(voices=(voice("Veja https://evil.example/x e www.evil.example"),)))
    assert "https://evil" not in page
    assert "www.evil" not in page
    assert "Veja https://evil.example/x e www.evil.example" in Page(page).text


@pytest.mark.parametrize(
    "url",
    [
        None,
        "",
        "javascript:alert(1)",
        "data:text/html,x",
        "https://",
        "//x.example",
        "ftp://x.example/a",
        "https://x.example/a b",
        "https://x.example/\x00",
        "https://[x",
        "https://x.example/" + "a" * 3000,
    ],
)
def test_only_web_addresses_become_links(url: str | None) -> None:
    assert render.safe_link(url) is None


def test_a_web_address_becomes_a_link() -> None:
    assert render.safe_link("https://x.example/a?b=c&d=é") == "https://x.example/a?b=c&d=é"


def test_many_touchpoints_still_fit() -> None:
    scores = tuple(
        score(f"t{n}", name=f"{n} " + "palavra " * 12, mentions=n + 10) for n in range(30)
    )
    made = digest(
        scorecard=Scorecard(since=MONDAY, until=SUNDAY, scores=scores),
        voices=tuple(voice("palavra " * 60) for _ in range(5)),
        alerts=tuple(alert(id=n) for n in range(30)),
    )
    page = html(made)
    assert len(page.encode()) < MOST
    assert "22 more." in Page(page).text
    assert "6 more touchpoints were mentioned less." in Page(page).text
    assert "29 palavra" in Page(page).text
    assert "> 5 palavra" not in page


def test_a_wholly_empty_week_renders() -> None:
    empty = digest(
        total=0,
        share=Share(0, 0),
        before=Share(0, 0),
        alerts=(),
        rehearsed=0,
        voices=(),
        trend=(WeekPoint(since=MONDAY, negatives=0, mentions=0, observed=0.0),),
        replies=Replies(public=0, answered=0, negative=0, negative_answered=0),
        trust=Trust(
            sources=(source(observed_days=0, outcome=None, last_new_at=None, silent_days=None),),
            languages=(),
            taggers=(),
            annotated=0,
            uncertain=0,
            pending=0,
            corrected=0,
            mismatches=0,
        ),
    )
    made = letter.words(empty)
    assert made.subject.endswith("Nobody was listening: no source was read on any whole day.")
    assert "0 of 7 days read; never read to the end; never brought a comment" in " ".join(
        made.text.split()
    )
    assert "Nov 16: not read" in made.text
    assert letter.preview(empty)


def test_the_bar_is_the_score() -> None:
    pieces = segments(score(score=3.0, low=2.0, high=4.0, target=5.0))
    assert sum(width for _, width in pieces) == pytest.approx(100)
    assert [kind for kind, _ in pieces] == ["track", "band", "dot", "band", "track", "goal"]
    assert pieces[0][1] == pytest.approx(25)


@given(st.floats(1, 5), st.floats(1, 5), st.floats(1, 5), st.floats(1, 5))
def test_every_bar_is_whole(value: float, low: float, high: float, target: float) -> None:
    pieces = segments(score(score=value, low=min(low, value), high=max(high, value), target=target))
    assert sum(width for _, width in pieces) == pytest.approx(100)
    assert all(width > 0 for _, width in pieces)
    assert "dot" in dict(pieces)


@hypothesis.settings(max_examples=60)
@given(st.text(max_size=900), st.integers(0, 900), st.integers(0, 200))
def test_an_excerpt_is_what_was_written(text: str, start: int, length: int) -> None:
    start = min(start, len(text))
    cut = excerpt(text, (start, min(start + length, len(text))))
    assert cut.text in text
    assert len(cut.text) <= 320
    assert bool(cut.text) == bool(text.strip())
    left = cut.marked.removeprefix(f"{CUT} ").removesuffix(f" {CUT}")
    assert left == cut.text or CUT in text
    if not (cut.before or cut.after):
        assert cut.text == text.strip()


def test_a_long_text_is_cut_between_sentences_around_its_evidence() -> None:
    text = "Comprei ontem. " * 30 + "A entrega nunca chegou! " + "Fim da história. " * 30
    start = text.index("A entrega")
    cut = excerpt(text, (start, start + 20))
    assert cut.text.startswith("A entrega nunca chegou!")
    assert cut.text.endswith("história.")
    assert (cut.before, cut.after) == (True, True)
    assert cut.marked == f"{CUT} {cut.text} {CUT}"


def test_one_endless_word_is_cut_between_characters() -> None:
    cut = excerpt("👩‍🦰" * 200)
    assert cut.after
    assert not cut.text.endswith("\u200d")
    assert excerpt(WORD).text == WORD[:320]


class Someone:
    """A feedback as far as choosing needs it."""

    def __init__(
        self, number: int, text: str, *, author: str | None = None, sure: bool = True
    ) -> None:
        self.feedback_id = number
        self.title = ""
        self.text = text
        self.author = author
        self.uncertain = not sure
        self.source, self.language = "shop", "pt"
        self.day: date | None = MONDAY
        self.stars: int | None = 1
        self.url: str | None = None
        self.span: tuple[int, int] | None = None


LONG = "Um texto que se lê com gosto, nem curto nem longo."


def test_one_person_and_one_text_speak_once() -> None:
    first = Someone(1, LONG, author="p-1")
    same_person = Someone(2, LONG + " De novo.", author="p-1")
    same_words = Someone(3, LONG.upper(), author="p-2")
    other = Someone(4, LONG + " Outra pessoa.", author="p-3")
    assert best([first, same_person, same_words, other], [first]) is other
    assert best([first], [first]) is None


def test_sure_and_readable_texts_come_first() -> None:
    unsure, short, good = Someone(1, LONG, sure=False), Someone(2, "Ruim"), Someone(3, LONG + "!")
    assert best([unsure, short, good], []) is good
    assert best([unsure, short], []) is short


def test_templates_never_mix_escaped_and_plain() -> None:
    """What a macro of a ``.txt`` template returns would reach HTML unescaped."""
    for path in render.TEMPLATES.glob("*.mjml"):
        named = re.findall(
            r"""{%-?\s*(?:from|import|include|extends)\s+"([^"]+)""", path.read_text()
        )
        assert all(name.endswith(".mjml") for name in named), path.name


def luminance(colour: str) -> float:
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_every_text_can_be_read_in_light_and_dark() -> None:
    """WCAG 2 AA: 4.5 to 1."""
    look = dict(re.findall(r'"(\w+)": "(#\w{6})"', (render.TEMPLATES / "look.mjml").read_text()))
    for text in ("ink", "soft", "accent", "bad", "good"):
        for ground in ("card", "page", "panel"):
            assert contrast(look[text], look[ground]) >= 4.5, (text, ground)
    base = (render.TEMPLATES / "base.mjml").read_text()
    dark = dict(
        re.findall(r"\.(\w+)[^{}\n]*{[^}]*?(#\w{6})", base[base.index("color-scheme: dark)") :])
    )
    for text in ("ink", "soft", "accent", "bad", "good"):
        for ground in ("card", "page", "panel"):
            assert contrast(dark[text], dark[ground]) >= 4.5, (text, ground)


CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")
@pytest.mark.parametrize("width", [320, 600, 1000])
@pytest.mark.parametrize("text", [LONG, HOSTILE, WORD], ids=["plain", "hostile", "endless word"])
def test_no_screen_has_to_scroll_sideways(tmp_path: Path, width: int, text: str) -> None:
    # An iframe is as narrow as a telephone; a window of Chromium is not.
    (tmp_path / "mail.html").write_text(letter.preview(poisoned(text)), encoding="utf-8")
    (tmp_path / "frame.html").write_text(
        f'<iframe id="f" src="mail.html" width="{width}" height="3000" frameborder="0"></iframe>'
        "<script>f.onload = () => { const d = f.contentDocument.documentElement;"
        'document.title = d.scrollWidth + " " + d.scrollHeight; }</script>',
        encoding="utf-8",
    )
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={tmp_path / 'profile'}"]
    command += ["--allow-file-access-from-files", "--virtual-time-budget=5000", "--dump-dom"]
    shown = subprocess.run(
        [*command, f"file://{tmp_path / 'frame.html'}"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    found = re.search(r"<title>(\d+) (\d+)</title>", shown.stdout)
    assert found, shown.stdout[:500]
    assert int(found[1]) <= width
    assert int(found[2]) > 500
