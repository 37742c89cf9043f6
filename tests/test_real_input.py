"""Real reviews through the real program: imported, tagged, scored, watched, told."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.ordeal

CONFIG = """
[brand]
name = "Corpus"
locale = "{locale}"

[touchpoints.service]
name = "Service"
stage = "after"
topics = ["customer_support", "service_outage", "installation_repair", "contract_cancellation"]

[touchpoints.app]
name = "App"
stage = "during"
topics = ["app_stability", "app_usability", "login_account", "feature_request"]

[touchpoints.billing]
name = "Billing"
stage = "after"
topics = ["billing_payment", "price_value", "returns_refund"]
"""

# Stream, kind of feedback, the reader's language.
STREAMS = [
    ("ra_tim", "complaint", "pt-BR"),
    pytest.param("jkt_transport", "review", "en", marks=pytest.mark.ordeal),
    ("trustpilot", "review", "es"),
]
ROWS = 250


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


def last_rows(corpus: Path, stream: str) -> list[dict[str, object]]:
    with gzip.open(corpus / "data" / "streams" / f"{stream}.jsonl.gz", "rt") as lines:
        return [json.loads(line) for line in lines][-ROWS:]


@pytest.mark.parametrize(("stream", "kind", "locale"), STREAMS)
def test_a_dated_stream_from_file_to_digest(
    corpus: Path, tmp_path: Path, stream: str, kind: str, locale: str
) -> None:
    rows = last_rows(corpus, stream)
    (tmp_path / "ouvidor.toml").write_text(CONFIG.format(locale=locale), encoding="utf-8")
    with gzip.open(tmp_path / "stream.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    words = ("import", "stream.jsonl.gz", "--source", "stream", "--kind", kind)

    [report] = [json.loads(line) for line in ouvidor(tmp_path, *words, "--json").splitlines()]
    assert report["outcome"] == "complete"
    # One stream repeats rows, as paging did: each id is stored once, the same row again is only
    # counted, another row with a known id is set aside.
    different = {json.dumps(row, sort_keys=True) for row in rows}
    assert report["new"] + report["rejected"] == len(different)
    assert report["new"] == len({row["id"] for row in rows})
    [again] = [json.loads(line) for line in ouvidor(tmp_path, *words, "--json").splitlines()]
    assert (again["new"], again["changed"]) == (0, 0)

    tagged = json.loads(ouvidor(tmp_path, "annotate", "--json"))
    assert (tagged["tagged"], tagged["waiting"]) == (report["new"], 0)

    latest = str(rows[-1]["date"])[:10]
    now = f"{latest}T23:00:00+00:00"
    span = ("--since", str(rows[0]["date"])[:10], "--until", latest)
    card = json.loads(ouvidor(tmp_path, "scorecard", *span, "--json", "--now", now))
    assert sum(score["mentions"] for score in card["scores"]) > 0
    ouvidor(tmp_path, "watch", "--backtest", "--json", "--now", now)
    ouvidor(tmp_path, "digest", "--preview", "digest.html", "--now", now)
    page = (tmp_path / "digest.html").read_text(encoding="utf-8")
    assert "Corpus" in page
    assert len(page) < 400_000
