"""What the documentation shows works."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ouvidor.collectors.collector import kinds, settings_for
from ouvidor.config import Source
from ouvidor.demo.keys import keys

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"^```toml\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def shown() -> dict[str, Source]:
    text = (ROOT / "docs" / "sources.md").read_text(encoding="utf-8")
    table = tomllib.loads("\n".join(BLOCK.findall(text)))
    return {name: Source(**source) for name, source in table["sources"].items()}


@pytest.mark.parametrize("name", shown())
def test_the_tables_of_the_documentation_fit(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    account = str(keys().service_account("https://example.com")).replace("'", '"')
    source = shown()[name]
    for value in source.options.values():
        if isinstance(value, dict) and "env" in value:
            secret = {"APP_STORE_CONNECT_KEY": pem, "GOOGLE_SERVICE_ACCOUNT": account}
            monkeypatch.setenv(value["env"], secret.get(value["env"], "a secret"))
    assert settings_for(name, source)


def test_every_kind_is_shown() -> None:
    assert {source.kind for source in shown().values()} == set(kinds())


def test_the_readme_names_every_kind() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [kind for kind in kinds() if f"`{kind}`" not in readme] == []
