"""Makes the pictures of the alert mail again: three languages, wide (600 px) and narrow (320 px).

    python docs/pictures/alert_mail.py

It needs Chromium, and writes beside itself. Everything shown is invented.
"""

from __future__ import annotations

import base64
import html
import io
import shutil
import subprocess
import sys
import tempfile
from datetime import date, timedelta
from pathlib import Path

import numpy as np
from PIL import Image

from ouvidor.reports import alert_letter
from ouvidor.reports.alert_chart import DayPoint
from ouvidor.reports.alert_letter import Notice, Turn
from ouvidor.reports.explain import STARS, Explanation, Part, Term
from ouvidor.reports.incident import Incident, Member
from ouvidor.reports.lookout import Gap, Key
from ouvidor.reports.voices import Excerpt, Role, Voice
from ouvidor.storage.vocabulary import Severity, Spike, Stage

HERE = Path(__file__).parent
DAY = date(2026, 10, 20)
WIDTHS = {"wide": 600, "narrow": 320}
TALL = 4000
COLOURS = 64
QUOTES = (
    ("Paguei no pix e o pedido sumiu. O app fica só em “processando”.", "5.2.0", 1),
    ("Cobrou duas vezes no cartão e ninguém do suporte responde desde ontem!", "5.2.0", 1),
    ("Depois da atualização não consigo finalizar a compra, trava no pix.", "5.2.0", 2),
)


def voices() -> tuple[Voice, ...]:
    """Three people that nobody is."""
    return tuple(
        Voice(
            role=Role.TYPICAL,
            feedback_id=number,
            excerpt=Excerpt(text, before=False, after=number == 2),  # noqa: PLR2004 - one is cut
            source="app-br" if number else "site",
            day=DAY - timedelta(days=number),
            stars=stars,
            language="pt",
            touchpoint=None,
            url=f"https://example.com/{number}",
        )
        for number, (text, _, stars) in enumerate(QUOTES)
    )


def days() -> tuple[DayPoint, ...]:
    """Eight weeks: a calm past, two days nobody read, a bad end."""
    counts = np.random.default_rng(4).poisson(3.3, 56).tolist()
    counts[-3:] = [7, 11, 16]
    return tuple(
        DayPoint(
            day=DAY - timedelta(days=55 - place),
            negatives=None if place in {38, 39} else count,
            expected=3.3 + (0.5 if place % 7 < 2 else 0.0),  # noqa: PLR2004 - busier weekends
            high=7.4 + (0.8 if place % 7 < 2 else 0.0),  # noqa: PLR2004 - same
            alarming=place >= 54,  # noqa: PLR2004 - the last two days
        )
        for place, count in enumerate(counts)
    )


def notice() -> Notice:
    """An alert with all that a message can tell."""
    found = Spike(
        series="checkout",
        detected_on=DAY,
        first_day=DAY - timedelta(days=2),
        last_day=DAY,
        observed=34,
        expected=10.4,
        share=0.41,
        expected_share=0.12,
        severity=Severity.WARNING,
        score=6.1,
    )
    sibling = Member(
        alert=18,
        key=Key("support", ""),
        touchpoint="Atendimento",
        stage=Stage.AFTER,
        sources=frozenset({"app-br"}),
        severity=Severity.NOTICE,
        observed=12,
        expected=3.1,
        first_day=DAY - timedelta(days=1),
        last_day=DAY,
    )
    return Notice(
        turn=Turn.OPENED,
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
                Part(dimension="version", value="5.2.0", observed=26, expected=1.2, share=0.95),
                Part(dimension="source", value="app-br", observed=28, expected=6.1, share=0.9),
                Part(dimension=STARS, value="1", observed=25, expected=5.0, share=0.83),
            ),
            terms=(
                Term(text="pix", now=19, now_of=34, before=4, before_of=160, z=4.1),
                Term(
                    text="não consigo finalizar", now=9, now_of=34, before=1, before_of=160, z=3.1
                ),
            ),
            voices=voices(),
        ),
        gaps=(Gap("reclamacoes", DAY - timedelta(days=1), DAY),),
        days=days(),
        incident=Incident(leader=17, members=(sibling,), touchpoint=None, source=None, stage=None),
    )


def shoot(page: str, width: int, target: Path) -> None:
    """One picture of a page, cut where it ends, in few colours."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("there is no Chromium on the path; install it (Debian: apt install chromium)")
    # A window is never narrower than some 500 px: a frame is.
    frame = (
        "<!doctype html><body style='margin:0;background:#f0f'>"
        f"<iframe style='border:0;display:block;width:{width}px;height:{TALL}px' "
        f"srcdoc='{html.escape(page, quote=True)}'></iframe>"
    )
    with tempfile.TemporaryDirectory() as folder:
        file, raw = Path(folder, "mail.html"), Path(folder, "mail.png")
        file.write_text(frame, encoding="utf-8")
        options = ["--headless", "--no-sandbox", "--hide-scrollbars", f"--screenshot={raw}"]
        size = f"--window-size={max(width, 600)},{TALL}"
        subprocess.run([chromium, *options, size, str(file)], check=True, capture_output=True)
        picture = Image.open(io.BytesIO(raw.read_bytes())).convert("RGB")
    picture = picture.crop((0, 0, width, TALL))
    picture = picture.crop((0, 0, width, _end(picture)))
    few = picture.quantize(COLOURS, dither=Image.Dither.NONE).convert("RGB")
    few.save(target, lossless=True, method=6)


def _end(picture: Image.Image) -> int:
    """The row below the last one that is not all background."""
    pixels = np.asarray(picture)
    rows = np.flatnonzero((pixels != pixels[-1, 0]).any(axis=(1, 2)))
    return int(rows[-1]) + 1 + 16


def main() -> None:
    """Write the six pictures."""
    for locale in ("pt-BR", "es", "en"):
        rendered, images = alert_letter.write(notice(), locale)
        page = rendered.html
        for name, data in images.items():
            encoded = base64.b64encode(data).decode()
            page = page.replace(f"cid:{name}", f"data:image/png;base64,{encoded}")
        for name, width in WIDTHS.items():
            shoot(page, width, HERE / f"alert-{locale}-{name}.webp")


if __name__ == "__main__":
    main()
