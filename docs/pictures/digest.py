"""Pictures of the weekly digest of the stand-in brand, as three screens show it, light and dark.

Run: ouvidor demo --keep FOLDER, then python docs/pictures/digest.py FOLDER (Chromium on the PATH).
Each is a page as a browser draws it, in its own few colours, so that it stays small.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path

from PIL import Image, ImageChops

from ouvidor.reports import charts
from ouvidor.reports.render import TEMPLATES

PICTURES = Path(__file__).parent
WIDTHS = (320, 600, 1000)
LOCALES = ("pt-BR", "es", "en")
MODES = ("light", "dark")
NOW = "2026-10-26T09:00-03:00"
LARGEST = 90_000
TALL = 7000
ASKED = "@media (prefers-color-scheme: dark)"
NARROWEST = 500
"""Chromium makes no window smaller than that: a narrow page stands in a frame."""


def page(folder: Path, locale: str, dark: bool) -> Path:  # noqa: FBT001 - one of two pages
    """The digest in one language; Chromium has no switch for dark mode, so the style chooses."""
    path = folder / f"{locale}-{dark}.html"
    command = [sys.executable, "-m", "ouvidor", "digest", "--preview", str(path)]
    options = ["--config", str(Path(sys.argv[1]) / "ouvidor.toml"), "--now", NOW]
    subprocess.run([*command, *options, "--locale", locale], check=True, capture_output=True)
    html = path.read_text(encoding="utf-8")
    if ASKED not in html:
        raise SystemExit("the page has no dark mode; mend reports/templates/base.mjml")
    html = html.replace(ASKED, "@media all" if dark else "@media not all")
    path.write_text(html, encoding="utf-8")
    return path


def framed(path: Path, width: int) -> Path:
    """A page that shows another one in a frame of this width."""
    frame = path.with_name(f"{path.stem}-{width}.html")
    style = f"border:0;width:{width}px;height:{TALL}px"
    body = f'<body style="margin:0"><iframe src="{path.as_uri()}" style="{style}"></iframe></body>'
    frame.write_text(f"<!doctype html>{body}", encoding="utf-8")
    return frame


def palette(*, dark: bool) -> Image.Image:
    """The colours of the mail itself, and halves of them for the edges of letters.

    Any palette found in the picture would merge the few red letters with the many grey ones.
    """
    look = (TEMPLATES / "look.mjml").read_text(encoding="utf-8")
    base = (TEMPLATES / "base.mjml").read_text(encoding="utf-8")
    found = re.findall(r"#[0-9a-f]{6}", base[base.index(ASKED) :] if dark else look)
    own = charts.DARK if dark else charts.LIGHT
    every = [rgb(each) for each in dict.fromkeys([*found, own.bar, own.now])]
    for each in (own.ink, own.soft, own.now):
        halves = zip(rgb(each), rgb(own.card), strict=True)
        every.append(tuple((one + other) // 2 for one, other in halves))
    picture = Image.new("P", (1, 1))
    picture.putpalette([part for colour in every for part in colour])
    return picture


def rgb(colour: str) -> tuple[int, ...]:
    """``#1d2730`` as three numbers."""
    return tuple(bytes.fromhex(colour.removeprefix("#")))


def shot(path: Path, width: int, target: Path, *, dark: bool) -> None:
    """What a window of this width shows of the whole page, cut where it ends."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("install Chromium: the pictures are its screenshots")
    address = framed(path, width) if width < NARROWEST else path
    size = f"--window-size={max(width, NARROWEST)},{TALL}"
    quiet = ["--headless", "--no-sandbox", "--hide-scrollbars", "--force-device-scale-factor=1"]
    drawn = path.with_suffix(".png")
    command = [chromium, *quiet, size, f"--screenshot={drawn}", address.as_uri()]
    subprocess.run(command, check=True, capture_output=True)
    with Image.open(drawn) as found:
        whole = found.convert("RGB").crop((0, 0, width, found.height))
    last = whole.getpixel((0, whole.height - 1))
    empty = Image.new("RGB", whole.size, last)
    box = ImageChops.difference(whole, empty).getbbox()
    bottom = min(whole.height, (box[3] if box else whole.height) + 16)
    few = whole.quantize(palette=palette(dark=dark), dither=Image.Dither.NONE).convert("RGB")
    while save(few.crop((0, 0, width, bottom)), target) > LARGEST:
        bottom = bottom * 9 // 10  # as much of the top as fits


def save(picture: Image.Image, target: Path) -> int:
    """Write a picture without loss; its size in bytes."""
    picture.save(target, lossless=True, method=4, quality=70)
    return target.stat().st_size


def main() -> None:
    """Every language, mode and width."""
    with tempfile.TemporaryDirectory() as name:
        for locale, mode in product(LOCALES, MODES):
            source = page(Path(name), locale, mode == "dark")
            for width in WIDTHS:
                target = PICTURES / f"digest-{locale}-{width}-{mode}.webp"
                shot(source, width, target, dark=mode == "dark")
                print(f"{target.name}: {target.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
