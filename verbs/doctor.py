"""The verb ``doctor``: what a bug report needs, and nothing that names anybody or anything.

Only words that this program itself knows are shown (kinds, outcomes, states, keys of tables);
whatever a person wrote into the configuration or the database is counted or called "text".
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from collections.abc import Callable, Collection, Mapping
from contextlib import closing
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal, get_args, get_origin

import click
from pydantic import BaseModel
from sqlalchemy.engine import make_url

from .. import console
from ..config import LOCALES, Config, Secret, Source, TlsMode, Weekday
from ..house import House, clock, model, opened
from ..storage import alerts, due, outbox, runs, upkeep
from ..storage import annotations as tags
from ..storage.database import HEAD, Database, unprepared
from ..storage.migrations import known_versions
from ..storage.vocabulary import Outcome, Severity, Stage, Topic

LIBRARIES = (
    *("alembic", "apprise", "apscheduler", "click", "cryptography", "mrml", "numpy", "onnxruntime"),
    *("psycopg", "pydantic", "rich", "safetensors", "scrapy", "sqlalchemy", "tokenizers", "torch"),
    *("transformers", "twisted", "tzdata"),
)
VARIABLES = ("CONFIG", "DATABASE_URL", "DATABASE_URL_FILE", "ENGINE", "KEY", "KEY_FILE")
SECRET, TEXT = "secret", "text"

_KNOWN = {*LOCALES, *TlsMode, *Stage, *Topic, *Severity, *get_args(Weekday), "skip", "tell"}
_KEYS = {"locale", "tls", "stage", "topics", "severity", "digest_day", "when_nothing"}
_VERSION = re.compile(r"[\w.+-]{1,80}", re.ASCII)


@click.command("doctor")
@opened
@clock
@console.as_json
def doctor_verb(house: House, *, as_json: bool) -> None:
    """Describe this installation for a bug report, without names, addresses, texts or secrets.

    It works without a configuration or a database, too, and changes neither.
    """
    report = examined(house)
    if as_json:
        console.emit(report)
        return
    for part, found in report.items():
        console.out(part, "bold")
        for line in _lines(found):
            console.out(f"  {line}")


def _lines(found: Any, before: str = "") -> list[str]:
    """A document as lines of ``key.key: value``."""
    if isinstance(found, Mapping) and found:
        pairs = ((f"{before}.{key}" if before else str(key), each) for key, each in found.items())
        return [line for key, each in pairs for line in _lines(each, key)]
    if isinstance(found, list) and any(isinstance(each, Mapping) for each in found):
        numbered = {str(number): each for number, each in enumerate(found, 1)}
        return _lines(numbered, before)
    shown = ", ".join(map(str, found)) if isinstance(found, list) else found
    return [f"{before}: {console.cell(shown) if shown is None else shown}"]


def examined(house: House) -> dict[str, Any]:
    """The whole report; a part that cannot be looked at is the name of its error."""
    return {
        "program": _program(),
        "machine": _machine(),
        "environment": {f"OUVIDOR_{name}": f"OUVIDOR_{name}" in os.environ for name in VARIABLES},
        "configuration": _try(lambda: _configuration(house.config)),
        "database": _try(lambda: _database(house.config)),
        "sources": _try(lambda: _sources(house)),
        "work": _try(lambda: _work(house)),
        "model": _try(lambda: _model(house)),
    }


def _try(look: Callable[[], Any]) -> Any:
    try:
        return look()
    except Exception as error:  # noqa: BLE001 - its words may name anything, its kind does not
        return {"problem": type(error).__name__}


def _program() -> dict[str, Any]:
    return {"ouvidor": _version("ouvidor"), "schema": HEAD} | {
        name: _version(name) for name in LIBRARIES
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _machine() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "system": platform.system(),
        "release": platform.release(),
        "machine": platform.machine(),
        "libc": " ".join(platform.libc_ver()),
        "cores": os.cpu_count(),
        "encoding": sys.getfilesystemencoding(),
        "terminal": sys.stderr.isatty(),
    }


def _database(config: Config) -> dict[str, Any]:
    url = make_url(config.database_url)
    file = upkeep.file_of(url)
    found: dict[str, Any] = {"kind": url.get_backend_name()}
    if file is not None:
        if not file.exists():
            return found | {"exists": False}
        found["free_bytes"] = shutil.disk_usage(file.parent).free
    return found | _inside(config.database_url)


def _inside(url: str) -> dict[str, Any]:
    told = upkeep.described(url)
    known = told.schema is None or told.schema in known_versions()
    with closing(unprepared(url)) as db:
        found = {
            "version": ".".join(map(str, told.served)),
            "schema": told.schema if known else "unknown to this program",
            "bytes": upkeep.size(db),
        }
        return found | ({"rows": upkeep.counts(db)} if told.current else {})


def _standing(house: House) -> Database:
    """The database, if it needs no migration: a report changes nothing."""
    if not upkeep.described(house.config.database_url).current:
        raise LookupError(HEAD)
    return house.db


def _sources(house: House) -> list[dict[str, Any]]:
    """Each configured source by a number: its kind and how its runs ended."""
    ended = _outcomes(house) if _there(house) else {}
    return [
        {
            "kind": _among(source.kind, _kinds()),
            "enabled": source.enabled,
            "runs": ended.get(name, {}),
        }
        for name, source in house.config.sources.items()
    ]


def _there(house: House) -> bool:
    file = upkeep.file_of(make_url(house.config.database_url))
    return file is None or file.exists()


def _outcomes(house: House) -> dict[str, dict[str, int]]:
    return {
        name: {
            "running" if outcome is None else _among(outcome, list(Outcome)): count
            for outcome, count in ended.items()
        }
        for name, ended in runs.outcomes(_standing(house)).items()
    }


def _work(house: House) -> dict[str, Any]:
    if not _there(house):
        return {}
    db = _standing(house)
    mail = outbox.counts(db)
    figures = {"open_alerts": len(alerts.active(db)), "duties_at_work": due.at_work(db)}
    states = {state: mail.get(state, 0) for state in ("waiting", "sent", "failed")}
    return {"waiting_for_tagger": tags.pending(db), "messages": states, **figures}


def _model(house: House) -> dict[str, Any]:
    from ..nlp.heads import Heads

    heads = Heads.load(model(house.config))
    adapted = heads.base is not None
    shown = heads.base if adapted else heads.version
    return {"version": shown if _VERSION.fullmatch(shown or "") else TEXT, "adapted": adapted}


def _kinds() -> Collection[str]:
    from ..collectors.collector import kinds

    return kinds()


def _among(word: str, known: Collection[str]) -> str:
    """A word of this program's own, or what stands for any other."""
    return str(word) if word in known else TEXT


def _configuration(config: Config) -> dict[str, Any]:
    shown = {name: getattr(config, name) for name in type(config).model_fields if name != "folder"}
    return {name: shape(value, name) for name, value in shown.items()}


def shape(value: object, key: str = "") -> Any:
    """A value of the configuration without what anybody called anything.

    Numbers and switches stay, and words that the program itself defines; names of tables become
    numbers.
    """
    if isinstance(value, Source):
        return _source(value)
    if isinstance(value, BaseModel):
        return {name: shape(getattr(value, name), name) for name in type(value).model_fields}
    if isinstance(value, Mapping):
        return {str(number): shape(each) for number, each in enumerate(value.values(), 1)}
    if isinstance(value, list | tuple):
        return [shape(each, key) for each in value]
    return _word(value, key)


def _word(value: object, key: str) -> object:
    if isinstance(value, bool | int | float | None):
        return value
    if isinstance(value, Secret):
        return SECRET
    return str(value) if key in _KEYS and value in _KNOWN else TEXT


def _source(source: Source) -> dict[str, Any]:
    from ..collectors.collector import kinds

    kind = kinds().get(source.kind)
    options: dict[str, Any] = {}
    for number, (name, value) in enumerate(source.options.items(), 1):
        field = kind.Settings.model_fields.get(name) if kind else None
        if isinstance(value, Mapping) and list(value) == ["env"]:
            value = Secret()  # noqa: PLW2901 - its variable's name may tell whose it is
        options[name if field else f"unknown {number}"] = (
            str(value) if field and value in _words(field.annotation) else shape(value)
        )
    return {
        "kind": _among(source.kind, kinds()),
        "enabled": source.enabled,
        "base_url": shape(source.base_url),
        "categories": len(source.categories),
        "options": options,
    }


def _words(annotation: Any) -> list[object]:
    """The words a setting may hold, where it may hold only some."""
    inner = [annotation, *get_args(annotation)]
    return [word for each in inner if get_origin(each) is Literal for word in get_args(each)]
