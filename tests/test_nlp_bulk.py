"""Bulk tagging without Ray: its blocks, what it refuses, and what one worker does with a block."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from ouvidor.cli import main
from ouvidor.nlp import bulk
from ouvidor.nlp.annotate import annotate_block
from ouvidor.nlp.bulk import BLOCK, Job, blocks
from ouvidor.storage import annotations, runs, series
from ouvidor.storage.database import Database, open_database
from ouvidor.storage.feedback import Door, save_page
from ouvidor.storage.vocabulary import Annotation, Basis, Distribution, Feedback, Untagged

BAD = Distribution(negative=0.8, neutral=0.1, positive=0.1)


class Parrot:
    """A tagger that always says the same and remembers whom it heard."""

    def __init__(self, version: str) -> None:
        self.version = version
        self.heard: list[int] = []

    def tag(self, items: Sequence[Untagged]) -> list[Annotation]:
        self.heard += [item.id for item in items]
        said = Annotation(
            tagger=self.version, basis=Basis.TEXT, language="pt", p=BAD, stars=1.4, uncertain=False
        )
        return [said for _ in items]


def fill(db: Database, door: Door, now: datetime, size: int) -> range:
    run = runs.open_run(db, source="app", kind="file", now=now)
    page = [
        Feedback(external_id=str(number), text=f"Não chegou {number}", published_at=now)
        for number in range(size)
    ]
    save_page(db, run, page, None, door=door, now=now)
    return annotations.ids(db)


def do(
    db: Database, tagger: Parrot, block: range, now: datetime, since: datetime | None = None
) -> int:
    done = annotate_block(
        db,
        tagger,  # type: ignore[arg-type]
        block,
        since=since,
        now=lambda: now,
        worker="elsewhere:1:a",
    )
    return done.tagged


@pytest.mark.parametrize("size", [0, 1, 7, 8, 200, 100_003])
@pytest.mark.parametrize("workers", [1, 4, 500])
def test_blocks_hold_every_id_once_and_none_is_empty(size: int, workers: int) -> None:
    ids = range(41, 41 + size)
    made = blocks(ids, workers)
    assert [each for block in made for each in block] == list(ids)
    assert all(0 < len(block) <= BLOCK for block in made)
    assert len(made) >= min(size, workers)


def test_a_block_touches_nothing_beside_it(db: Database, door: Door, now: datetime) -> None:
    ids = fill(db, door, now, 9)
    assert do(db, Parrot("t1"), ids[3:6], now) == 3
    assert annotations.pending(db) == 6


def test_a_block_done_twice_is_tagged_once(db: Database, door: Door, now: datetime) -> None:
    ids = fill(db, door, now, 4)
    assert do(db, Parrot("t1"), ids, now) == 4
    assert do(db, Parrot("t1"), ids, now) == 0
    assert do(db, Parrot("t2"), ids, now) == 4
    assert annotations.taggers(db) == {"t2": 4}
    assert series.astray(db) == 0


def test_again_goes_over_what_was_said_before_it_and_on_after_a_kill(
    db: Database, door: Door, now: datetime
) -> None:
    ids = fill(db, door, now, 4)
    do(db, Parrot("t"), ids, now)
    later, last = now + timedelta(hours=1), now + timedelta(hours=2)

    since = annotations.begin_again(db, later)
    assert since == later
    assert do(db, Parrot("t"), ids[:2], later, since) == 2
    # Killed here; the same command an hour later.
    since = annotations.begin_again(db, last)
    assert since == later
    assert do(db, Parrot("t"), ids, last, since) == 2
    annotations.end_again(db)
    assert annotations.begin_again(db, last) == last


def test_all_at_once_settles_what_was_owed_block_by_block(
    db: Database, door: Door, now: datetime
) -> None:
    fill(db, door, now, 2)
    annotations.begin_again(db, now)
    annotations.request_again(db)
    assert annotations.begin_again(db, now + timedelta(days=9)) == now + timedelta(days=9)


def test_a_block_takes_over_what_its_dead_worker_held_and_nobody_elses(
    db: Database, door: Door, now: datetime
) -> None:
    ids = fill(db, door, now, 4)
    lease = timedelta(minutes=10)
    mine = annotations.claim(db, limit=1, now=now, worker="elsewhere:1:a", lease=lease)
    annotations.claim(db, limit=1, now=now, worker="elsewhere:2:b", lease=lease)
    tagger = Parrot("t")
    assert do(db, tagger, ids, now) == 3
    assert mine[0].id in tagger.heard


def test_no_feedback_no_blocks(db: Database) -> None:
    assert annotations.ids(db) == range(0)
    assert blocks(annotations.ids(db), 4) == []


def job(url: str, version: str = "t") -> Job:
    return Job(url=SecretStr(url), model=Path("model"), version=version)


def test_a_job_shows_no_url() -> None:
    made = job("postgresql://ouvidor:geheim@db.example/ouvidor")
    assert "geheim" not in f"{made!r} {made}"


def test_a_worker_gives_its_problem_back_as_a_sentence(tmp_path: Path) -> None:
    """Weights that are missing on one machine of a cluster."""
    made = replace(job("postgresql://db.example/x"), model=tmp_path / "none")
    [problem] = bulk.Worker(made)({"first": [1], "count": [2]})["problem"]
    assert str(tmp_path / "none") in problem


def test_sqlite_is_refused(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    if db.embedded:
        with pytest.raises(bulk.BulkError, match="needs PostgreSQL"):
            bulk.refuse(db)
        return
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(bulk.BulkError, match=r"run `pip install ouvidor\[ray\]`"):
        bulk.refuse(db)


def test_a_cluster_that_is_not_there_is_said_at_once() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(bulk.BulkError, match=f"--ray {address}: .* `ray start --head`"):
            bulk.reach(address)
    bulk.reach("local")
    bulk.reach("auto")


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["--ray"], 1, "`ouvidor db move`"),
        (["--again", "--ray", "auto", "--workers", "2"], 1, "--ray needs PostgreSQL"),
        (["--workers", "2"], 2, "--workers goes with --ray"),
        (["--ray", "--limit", "9"], 2, "--limit does not go with --ray"),
        (["--ray", "--workers", "0"], 2, "--workers"),
    ],
)
def test_the_verb_refuses_with_a_sentence(
    words: list[str],
    code: int,
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "ouvidor.toml").write_text('[brand]\nname = "Loja"\n')
    monkeypatch.chdir(tmp_path)
    assert main(["annotate", *words]) == code
    assert sentence in capsys.readouterr().err
    # What is refused asks for nothing.
    if (tmp_path / "ouvidor.db").exists():
        db = open_database(f"sqlite:///{tmp_path / 'ouvidor.db'}")
        now = datetime.fromisoformat("2026-10-05T15:00:00+00:00")
        assert annotations.begin_again(db, now) == now
        db.close()


def test_folders_of_the_dead_are_swept_and_others_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "_base", lambda: tmp_path)
    # 2**22 is the highest process number Linux gives; nobody has one above it.
    names = [f"ouvidor-ray-{2**22 + 7}-x", f"ouvidor-ray-{os.getppid()}-x", "ouvidor-ray-my-own"]
    for name in names:
        (tmp_path / name / "session").mkdir(parents=True)
    bulk._sweep()
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted(names[1:])
