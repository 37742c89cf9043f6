"""ouvidor.toml: every mistake is one sentence with the key path (or the line) and the mend."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path

import pytest

from ouvidor.config import Config, ConfigError, Secret, load, parse, read_secret
from ouvidor.storage.vocabulary import Stage, Topic

BRAND = '[brand]\nname = "Loja"\n'
TOUCHPOINT = '[touchpoints.entrega]\nname = "Entrega"\nstage = "after"\ntopics = ["delivery"]\n'


def refused(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


def test_the_smallest_configuration() -> None:
    config = parse(BRAND)
    assert (config.brand.locale, config.brand.time_zone) == ("pt-BR", "America/Sao_Paulo")
    assert config.schedule.collect_every.total_seconds() == 6 * 3600


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ["brand", "missing", "add it"]),
        ('[brand]\nnmae = "x"\nname = "x"', ["brand.nmae", "did you mean 'name'?"]),
        (BRAND + '[databse]\nurl = ""', ["databse", "did you mean 'database'?"]),
        (BRAND + "[schedule]\ndigest_huor = 3", ["schedule.digest_huor", "'digest_hour'"]),
        ("[brand]\nname = 5", ["brand.name", "string", "not 5"]),
        (BRAND + "[schedule]\ndigest_hour = 24", ["schedule.digest_hour", "23", "not 24"]),
        (BRAND + '[schedule]\ndigest_day = "montag"', ["schedule.digest_day", "'monday'"]),
        ('[brand]\nname = "x"\nlocale = "de"', ["brand.locale", "'pt-BR'", "not 'de'"]),
        ('[brand]\nname = "x"\ntime_zone = "Mars/Base"', ["brand.time_zone", "no time zone"]),
        ('[brand]\nname = "x"\ntime_zone = "../etc"', ["brand.time_zone", "no time zone"]),
        (BRAND + '[database]\nurl = "x"', ["database.url", "sqlite:///ouvidor.db"]),
        (BRAND + '[database]\nurl = "mysql://h/x"', ["database.url", "'mysql'", "use sqlite"]),
        (
            BRAND + TOUCHPOINT.replace("delivery", "delivry"),
            ["touchpoints.entrega.topics", "'delivry' is no topic", "delivery"],
        ),
        (BRAND + TOUCHPOINT.replace("after", "later"), ["touchpoints.entrega.stage", "'before'"]),
        (
            BRAND + '[touchpoints.x]\nname = "X"\nstage = "after"',
            ["touchpoints.x", "nothing leads to this touchpoint"],
        ),
        (BRAND + TOUCHPOINT + "target = 6", ["touchpoints.entrega.target", "not 6"]),
        (BRAND + TOUCHPOINT + 'owner = "ana"', ["touchpoints.entrega.owner", "mail address"]),
        (BRAND + TOUCHPOINT + 'sources = ["ap"]', ["touchpoints.entrega.sources", "'ap'"]),
        (
            BRAND + TOUCHPOINT + '[subscribers.a]\naddress = "a@b.c"\ntouchpoints = ["entrga"]',
            ["subscribers.a.touchpoints", "'entrga'", "did you mean 'entrega'?"],
        ),
        (
            BRAND + '[subscribers.a]\naddress = "a b@c"',
            ["subscribers.a.address", "ana@example.com"],
        ),
        (BRAND + '[sources.App]\nkind = "file"', ["sources.App", "'App' is no name"]),
        (BRAND + "[sources]\nx = 5", ["sources.x", "has to be a table", "[sources.x]"]),
        (BRAND + "[sources.app]\nenabled = true", ["sources.app.kind", "missing"]),
        (BRAND + '[mail]\nhost = "h"\nsender = "a@b.c"\nuser = "u"', ["mail", "go together"]),
        (BRAND + 'folder = "x"', ["brand.folder"]),
        ('folder = "x"\n' + BRAND, ["folder", "remove it"]),
    ],
)
def test_a_mistake_is_one_sentence_with_its_key(text: str, parts: list[str]) -> None:
    sentence = refused(text)
    missing = [part for part in parts if part not in sentence]
    assert not missing, sentence


def test_a_syntax_error_names_its_line() -> None:
    assert "line 3" in refused(BRAND + "[schedule\n")


@pytest.mark.parametrize("value", ['"hunter2"', "{ env = 5 }", '{ file = "x" }', "true"])
def test_a_secret_never_stands_in_the_file(value: str) -> None:
    sentence = refused(f"{BRAND}[chat.cx]\nurl = {value}\n")
    assert "chat.cx.url" in sentence
    assert '{ env = "NAME" }' in sentence
    assert "hunter2" not in sentence


MAIL = """[mail]
host = "h"
sender = "a@b.c"
user = "u"
password = { env = "OUVIDOR_TEST_PASSWORD" }
"""


def test_a_missing_secret_names_the_variable() -> None:
    sentence = refused(BRAND + MAIL)
    assert "mail.password" in sentence
    assert "OUVIDOR_TEST_PASSWORD_FILE" in sentence


def test_a_secret_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUVIDOR_TEST_PASSWORD", "sesame")
    config = parse(BRAND + MAIL)
    assert config.mail is not None
    assert config.mail.password == "sesame"
    assert "sesame" not in repr(config)


def test_a_secret_comes_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_text("sesame\n")
    monkeypatch.setenv("OUVIDOR_TEST_PASSWORD_FILE", str(tmp_path / "secret"))
    assert read_secret("OUVIDOR_TEST_PASSWORD") == Secret("sesame")
    monkeypatch.setenv("OUVIDOR_TEST_PASSWORD_FILE", str(tmp_path / "none"))
    with pytest.raises(ValueError, match="cannot be read"):
        read_secret("OUVIDOR_TEST_PASSWORD")


def test_the_options_of_a_source_are_its_collectors() -> None:
    source = parse(BRAND + '[sources.x]\nkind = "file"\npath = "a.csv"\nbase_url = "u"').sources[
        "x"
    ]
    assert (source.kind, source.base_url, dict(source.options)) == ("file", "u", {"path": "a.csv"})


@pytest.mark.sqlite
def test_paths_are_seen_from_the_files_folder(tmp_path: Path) -> None:
    (tmp_path / "ouvidor.toml").write_text(BRAND)
    config = load(tmp_path / "ouvidor.toml")
    assert config.database_url == f"sqlite:///{tmp_path / 'ouvidor.db'}"
    assert config.path(config.privacy.key_file) == tmp_path / "ouvidor.key"


def test_the_environment_names_file_and_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other.toml").write_text(BRAND)
    monkeypatch.setenv("OUVIDOR_CONFIG", str(tmp_path / "other.toml"))
    monkeypatch.setenv("OUVIDOR_DATABASE_URL", "postgresql://host/name")
    assert load().database_url == "postgresql://host/name"
    monkeypatch.setenv("OUVIDOR_DATABASE_URL", "oracle://host")
    with pytest.raises(ConfigError, match="OUVIDOR_DATABASE_URL: 'oracle'"):
        _ = load().database_url


def test_a_missing_file_names_init(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="ouvidor init"):
        load(tmp_path / "none.toml")


def test_an_unreadable_file_says_so(tmp_path: Path) -> None:
    (tmp_path / "ouvidor.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="UTF-8"):
        load(tmp_path / "ouvidor.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path)


def test_the_example_is_a_whole_journey() -> None:
    text = resources.files("ouvidor").joinpath("example.toml").read_text(encoding="utf-8")
    config: Config = parse(text)
    stages = [touchpoint.stage for touchpoint in config.touchpoints.values()]
    assert {stage: stages.count(stage) for stage in Stage} == {
        Stage.BEFORE: 6,
        Stage.DURING: 5,
        Stage.AFTER: 8,
    }
    mapped = [topic for each in config.touchpoints.values() for topic in each.topics]
    assert len(mapped) == len(set(mapped))
    assert set(Topic) - set(mapped) == {Topic.BRAND_GENERAL}
    assert all(3 <= len(each.examples) <= 5 for each in config.touchpoints.values())


@pytest.mark.parametrize(
    ("clock", "until"),
    [("21:59", None), ("22:00", "07:00"), ("23:30", "07:00"), ("06:59", "07:00"), ("07:00", None)],
)
def test_quiet_hours_go_over_midnight(clock: str, until: str | None) -> None:
    text = BRAND + '[subscribers.ana]\naddress = "ana@example.com"\nquiet_hours = "22:00-07:00"\n'
    config = parse(text + 'severity = "warning"\n')
    quiet = config.subscribers["ana"].quiet_hours
    assert quiet is not None
    now = datetime.fromisoformat(f"2026-10-05T{clock}").replace(tzinfo=config.brand.zone)
    over = quiet.over_at(now.astimezone(UTC), config.brand.zone)
    assert over >= now
    assert over == now if until is None else f"{over.astimezone(now.tzinfo):%H:%M}" == until
    assert over - now < timedelta(hours=12)


@pytest.mark.parametrize("hours", ["22-7", "25:00-07:00", "07:00-07:00", "22:00"])
def test_hours_that_are_none_are_refused(hours: str) -> None:
    sentence = refused(BRAND + f'[chat.team]\nurl = {{ env = "HOME" }}\nquiet_hours = "{hours}"')
    assert "chat.team.quiet_hours" in sentence
    assert "'22:00-07:00'" in sentence
