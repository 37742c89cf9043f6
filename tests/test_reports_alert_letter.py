from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest

from ouvidor.reports import alert_letter
from ouvidor.reports.alert_chart import DayPoint, draw
from ouvidor.reports.alert_letter import AlertPhrases, Notice, Turn
from ouvidor.reports.charts import INCHES
from ouvidor.reports.explain import Explanation, Part, Term
from ouvidor.reports.i18n import FOLDERS
from ouvidor.reports.lookout import Gap, Key
from ouvidor.reports.voices import Excerpt, Role, Voice
from ouvidor.storage.vocabulary import Severity, Spike

DAY = date(2026, 10, 20)
HOSTILE = "</mj-text><script>alert(1)</script> {{ 7 * 7 }} \x07\u202eodatruf & <b>negrito</b>"


def voice(text: str, url: str | None) -> Voice:
    return Voice(
        role=Role.TYPICAL,
        feedback_id=7,
        excerpt=Excerpt(text, before=False, after=True),
        source="app-br",
        day=DAY,
        stars=1,
        language="pt",
        touchpoint=None,
        url=url,
    )


def notice(turn: Turn = Turn.OPENED, text: str = "pix pago e nada", **more: object) -> Notice:
    found = Spike(
        series="checkout",
        detected_on=DAY,
        first_day=DAY - timedelta(days=2),
        last_day=DAY,
        observed=14,
        expected=3.3,
        share=0.4,
        expected_share=0.12,
        severity=Severity.WARNING,
        score=6.1,
    )
    full = Notice(
        turn=turn,
        alert=17,
        brand="Tucumã",
        key=Key("checkout", ""),
        touchpoint="Pagamento",
        severity=Severity.WARNING,
        found=found,
        times=2.4,
        by_chance=0.02,
        budget=1.0,
        series=12,
        late=False,
        quiet_days=7,
        why=Explanation(
            parts=(
                Part(dimension="version", value=text, observed=9, expected=0.4, share=0.8),
                Part(dimension="warehouse", value="sul", observed=8, expected=0.4, share=0.7),
            ),
            terms=(Term(text="pix", now=9, now_of=14, before=1, before_of=40, z=3.1),),
            voices=(voice(text, "https://example.com/7"), voice(text, "javascript:alert(1)")),
        ),
        gaps=(Gap("reclamacoes", DAY - timedelta(days=1), DAY),),
        days=tuple(
            DayPoint(DAY - timedelta(days=back), None if back == 5 else back, 4.0, 8.0, back == 0)
            for back in range(30, -1, -1)
        ),
    )
    return replace(full, **more)  # type: ignore[arg-type]  # a test's shorthand


@pytest.mark.parametrize("locale", FOLDERS)
@pytest.mark.parametrize("turn", list(Turn))
def test_every_turn_is_told_in_every_language(locale: str, turn: Turn) -> None:
    rendered, images = alert_letter.write(notice(turn), locale)
    assert "Pagamento" in rendered.subject
    assert "14" in rendered.text
    assert "14" in rendered.html
    assert all(f"cid:{name}" in rendered.html for name in images)
    todo = "ouvidor alerts ack 17" in rendered.text
    assert todo is (turn not in {Turn.RESOLVED, Turn.RETRACTED})


def test_the_languages_differ() -> None:
    texts = {alert_letter.words(notice(), locale).text for locale in FOLDERS}
    assert len(texts) == len(FOLDERS)
    assert "comentários negativos" in alert_letter.words(notice(), "pt-BR").text
    assert "comentarios negativos" in alert_letter.words(notice(), "es").text


def test_review_text_stays_text() -> None:
    rendered = alert_letter.words(notice(text=HOSTILE), "en")
    assert "<script>" not in rendered.html
    assert "&lt;script&gt;" in rendered.html
    assert "{{ 7 * 7 }}" in rendered.html
    for content in (rendered.subject, rendered.text, rendered.html):
        assert "\x07" not in content
        assert "\u202e" not in content
        assert "javascript:" not in content


def test_what_was_not_observed_is_said() -> None:
    say = AlertPhrases("en")
    (line,) = say.gaps(notice().gaps)
    assert line.startswith("reclamacoes was not read: ")
    assert say.gaps(()) == ["Every source was read on every one of these days."]
    many = [Gap(f"s{number}", DAY, DAY) for number in range(8)]
    assert say.gaps(many)[-1] == "3 more."


@pytest.mark.parametrize(
    ("by_chance", "words"),
    [
        (0.9, "about once a month"),
        (0.25, "about once in 4 months"),
        (1 / 36, "about once in 3 years"),
        (1e-9, "less than once in 10 years"),
    ],
)
def test_chance_is_told_in_months_and_years(by_chance: float, words: str) -> None:
    text = AlertPhrases("en").chance(notice(by_chance=by_chance))
    assert words in text
    assert "1 false alarm a month" in text
    assert "2.5 false alarms a month" in AlertPhrases("en").chance(notice(budget=2.5))


def test_evidence_holds_no_words_of_the_people_quoted() -> None:
    stored = alert_letter.evidence(notice(text="minha história"))
    assert stored["quotes"] == [7, 7]
    stored["parts"].clear()
    assert "história" not in repr(stored)
    assert stored["not_read"] == [
        {"source": "reclamacoes", "from": "2026-10-19", "to": "2026-10-20"}
    ]


def test_the_picture_is_the_same_twice_and_survives_emptiness() -> None:
    png = draw(notice().days, "pt-BR")
    assert png == draw(notice().days, "pt-BR")
    assert int.from_bytes(png[16:20]) == round(INCHES[0] * 270)
    assert draw((), "en").startswith(b"\x89PNG")
