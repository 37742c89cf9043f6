"""One click ends the digest (RFC 8058) where there is a page; a mail does everywhere."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from ouvidor.config import ConfigError, Mail, parse
from ouvidor.reports import mail
from ouvidor.reports.render import Rendered

KEY = "a key that nobody knows"
BASE = '[brand]\nname = "A"\n[mail]\nhost = "h"\nsender = "o@a.example"\n'
PAGE = "https://a.example/digest/end/with/a/rather/long/path/that/no/line/holds?who={token}"
ONE_CLICK = f'unsubscribe_page = "{PAGE}"\nunsubscribe_key = {{ env = "UNSUBSCRIBE" }}\n'


def settings(environment: Callable[[str, str], None]) -> Mail:
    environment("UNSUBSCRIBE", KEY)
    found = parse(BASE + ONE_CLICK).mail
    assert found is not None
    return found


def wire(settings: Mail) -> str:
    return written("digest:ana:2026-W40", settings).decode("ascii")


def headers(key: str, settings: Mail) -> email.message.Message:
    return email.message_from_bytes(written(key, settings), policy=email.policy.SMTP)


def written(key: str, settings: Mail) -> bytes:
    return mail.compose(
        Rendered(subject="s", text="t\n", html="<p>h</p>"),
        key=key,
        recipient="ana@a.example",
        brand="A",
        locale="en",
        now=datetime(2026, 10, 5, tzinfo=UTC),
        settings=settings,
    )


def test_one_click_and_a_mail_beside_it(environment: Callable[[str, str], None]) -> None:
    message = headers("digest:ana:2026-W40", settings(environment))
    token = mail.unsubscribe_token("ana", KEY)
    page = PAGE.replace("{token}", token)
    told = "".join(message["List-Unsubscribe"].split())
    assert told == f"<{page}>,<mailto:o@a.example?subject=unsubscribe>"
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    # As it stands on the wire: mail programs do not decode this header.
    assert f"\r\nList-Unsubscribe: <{page}>,\r\n <mailto:" in wire(settings(environment))


def test_an_alert_is_no_newsletter(environment: Callable[[str, str], None]) -> None:
    message = headers("alert:1:opened:ana@a.example", settings(environment))
    assert message["List-Unsubscribe"] == "<mailto:o@a.example?subject=unsubscribe>"
    assert message["List-Unsubscribe-Post"] is None


@pytest.mark.parametrize("name", ["ana", "chat/cx", "x@other.example", "a:b"])
def test_a_token_names_one_reader_and_cannot_be_made_up(name: str) -> None:
    token = mail.unsubscribe_token(name, KEY)
    assert token.replace("-", "").isalnum()
    assert mail.unsubscriber(token, KEY) == name
    assert mail.unsubscriber(token, "another key") is None
    other = mail.unsubscribe_token("bento", KEY)
    forged = token.partition("-")[0] + "-" + other.partition("-")[2]
    for bad in (forged, "", "-", "zz-00", token[:-1], token + "é"):
        assert mail.unsubscriber(bad, KEY) is None


@pytest.mark.parametrize(
    "lines",
    [
        'unsubscribe_page = "http://a.example/{token}"\n',
        'unsubscribe_page = "https://a.example/"\n',
        'unsubscribe_page = "https://a.example/ >{token}"\n',
        'unsubscribe_page = "https://a.example/{token}"\n',
    ],
)
def test_a_page_that_cannot_work_is_refused(lines: str) -> None:
    with pytest.raises(ConfigError, match="unsubscribe_page"):
        parse(BASE + lines)
