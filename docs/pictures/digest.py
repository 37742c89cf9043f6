"""Pictures of the weekly digest of the stand-in brand, as three screens show it, light and dark.

Run: ouvidor demo --keep FOLDER, then python docs/pictures/digest.py FOLDER (Chromium on the PATH).
Each is a page as a browser draws it, in few colours, so that it stays small in `docs/pictures`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path

from PIL import Image, ImageChops

PICTURES = Path(__file__).parent
WIDTHS = (320, 600, 1000)
LOCALES = ("pt-BR", "es", "en")
MODES = ("light", "dark")
NOW = "2026-10-26T09:00-03:00"
LARGEST = 80_000
COLOURS = 16
TALL = 7000
NARROWEST = 500
"""Chromium makes no window smaller than that: a narrow page stands in a frame."""


def page(folder: Path, locale: str, dark: bool) -> Path:  # noqa: FBT001 - one of two pages
    """The digest in one language; Chromium has no switch for dark mode, so the style chooses."""
    path = folder / f"{locale}-{dark}.html"
    command = [sys.executable, "-m", "ouvidor", "digest", "--preview", str(path)]
    options = ["--config", str(Path(sys.argv[1]) / "ouvidor.toml"), "--now", NOW]
    subprocess.run([*command, *options, "--locale", locale], check=True, capture_output=True)
    html = path.read_text(encoding="utf-8")
    asked = "@media (prefers-color-scheme: dark)"
    if asked not in html:
        raise SystemExit("the page has no dark mode; mend reports/templates/base.mjml")
    html = html.replace(asked, "@media all" if dark else "@media not all")
    path.write_text(html, encoding="utf-8")
    return path


def framed(path: Path, width: int) -> Path:
    """A page that shows another one in a frame of this width."""
    frame = path.with_name(f"{path.stem}-{width}.html")
    style = f"border:0;width:{width}px;height:{TALL}px"
    body = f'<body style="margin:0"><iframe src="{path.as_uri()}" style="{style}"></iframe></body>'
    frame.write_text(f"<!doctype html>{body}", encoding="utf-8")
    return frame


def shot(path: Path, width: int, target: Path) -> None:
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
    few = whole.quantize(COLOURS, dither=Image.Dither.NONE).convert("RGB")
    while save(few.crop((0, 0, width, bottom)), target) > LARGEST:
        bottom = bottom * 9 // 10  # as much of the top as fits


def save(picture: Image.Image, target: Path) -> int:
    """Write a picture without loss; its size in bytes."""
    picture.save(target, lossless=True, method=2, quality=40)
    return target.stat().st_size


def main() -> None:
    """Every language, mode and width."""
    with tempfile.TemporaryDirectory() as name:
        for locale, mode in product(LOCALES, MODES):
            source = page(Path(name), locale, mode == "dark")
            for width in WIDTHS:
                target = PICTURES / f"digest-{locale}-{width}-{mode}.webp"
                shot(source, width, target)
                print(f"{target.name}: {target.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
