"""What really happened to real apps and shops: found on the first day, and praise stays silent.

Negatives are one and two stars: tagging whole streams would cost minutes and prove no more about
the detector. Every day between an app's first and last review counts as observed.
"""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
from collections import defaultdict
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest

from ouvidor.reports.spikes import Day, detect
from ouvidor.storage.vocabulary import Severity, Spike

KEYS = {"jkt_transport": "app", "trustpilot": "company"}
FEWEST = 100
"""Reviews below which an app is no series."""

YEAR = 365.25
AFTER = timedelta(days=7)
YOUNG = timedelta(days=14)
"""An incident on the first days of a series has no past to stand out from."""

MOST_A_YEAR = 1.5
"""Other alerts a year and series; some of them are real, but nobody wrote down which."""


class Known(NamedTuple):
    name: str
    stream: str
    series: str
    complaints: bool
    start: date
    end: date


def known(corpus: Path) -> list[Known]:
    found = json.loads((corpus / "data" / "streams" / "incidents.json").read_text())
    return [
        Known(
            name=each["id"],
            stream=each["stream"],
            series=re.split("==| and ", each["filter"])[1],
            complaints="stars<=2" in each["filter"],
            start=date.fromisoformat(each["start"]),
            end=date.fromisoformat(each["end"]),
        )
        for each in found
    ]


def series_of(corpus: Path, stream: str) -> dict[str, list[Day]]:
    counts: dict[str, dict[date, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    with gzip.open(corpus / "data" / "streams" / f"{stream}.jsonl.gz", "rt") as lines:
        for row in map(json.loads, lines):
            if row["date"] and row["stars"] is not None:
                day = counts[row["extra"][KEYS[stream]]][date.fromisoformat(row["date"][:10])]
                day[0] += row["stars"] <= 2
                day[1] += 1
    return {name: list(filled(days)) for name, days in counts.items() if enough(days)}


def enough(days: dict[date, list[int]]) -> bool:
    return sum(total for _, total in days.values()) >= FEWEST


def filled(days: dict[date, list[int]]) -> list[Day]:
    first, last = min(days), max(days)
    span = [first + timedelta(days=step) for step in range((last - first).days + 1)]
    return [Day(day, *days.get(day, [0, 0]), observed=True) for day in span]


@pytest.mark.ordeal
@pytest.mark.parametrize("stream", KEYS)
def test_incidents_are_found_at_once_and_praise_stays_silent(corpus: Path, stream: str) -> None:
    series = series_of(corpus, stream)
    told = list(detect(series, budget_per_month=1.0))
    incidents = [each for each in known(corpus) if each.stream == stream]
    assert incidents
    spent: list[Spike] = []
    for each in incidents:
        days = (each.start, each.end + AFTER)
        here = [s for s in told if s.series == each.series and days[0] <= s.detected_on <= days[1]]
        spent += here
        young = each.start - series[each.series][0].date < YOUNG
        if each.complaints and not young:
            assert here, each
            assert here[0].detected_on == each.start, each
            assert here[0].severity is not Severity.NOTICE
        elif not each.complaints:
            assert here == [], each
    years = sum(len(days) for days in series.values()) / YEAR
    others = len(told) - len(spent)
    assert others <= MOST_A_YEAR * years


def test_the_incidents_say_what_they_are(corpus: Path) -> None:
    found = known(corpus)
    assert {each.stream for each in found} <= set(KEYS)
    assert sum(each.complaints for each in found) == 4
    assert sum(not each.complaints for each in found) == 3


CONFIG = """
[brand]
name = "Jak"
time_zone = "Asia/Jakarta"

[touchpoints.app]
name = "App"
stage = "during"
sources = ["play"]

[sources.play]
kind = "file"
path = "rows.jsonl"
"""
UNTIL = "2022-07-01"
"""Half a year of one app: 261 texts, which the tagger reads in seconds."""


def ouvidor(folder: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "ouvidor", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.ordeal
@pytest.mark.timeout(300)
def test_the_whole_program_finds_the_incident_in_tagged_texts(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "ouvidor.toml").write_text(CONFIG)
    stream = corpus / "data" / "streams" / "jkt_transport.jsonl.gz"
    with gzip.open(stream, "rt") as lines, (tmp_path / "rows.jsonl").open("w") as file:
        for row in map(json.loads, lines):
            if row["extra"]["app"] == "Jak Lingko App" and row["date"] < UNTIL:
                file.write(json.dumps({key: row[key] for key in ("id", "text", "stars", "date")}))
                file.write("\n")
    ouvidor(tmp_path, "import", "rows.jsonl", "--source", "play")
    ouvidor(tmp_path, "annotate")
    told = [
        json.loads(line) for line in ouvidor(tmp_path, "watch", "--backtest", "--json").splitlines()
    ]
    assert [(each["series"], each["detected_on"], each["severity"]) for each in told] == [
        ("app", "2022-06-23", "critical")
    ]
