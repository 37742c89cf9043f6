"""The stand-in brand's ouvidor.toml."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from string import Template

_APIS, _AFTER = "# The keys of these four", "# --- Before the purchase"


def configuration(url: str, folder: Path, *, apis: bool = True) -> str:
    """The text of an ouvidor.toml that reads the stand-in at ``url``.

    Database and key lie in ``folder``. Without ``apis`` it names no source that needs a key.
    """
    template = resources.files(__package__).joinpath("ouvidor.toml").read_text(encoding="utf-8")
    if not apis:
        before, _, rest = template.partition(_APIS)
        template = before + _AFTER + rest.partition(_AFTER)[2].replace(', "google"]', "]")
    return Template(template).substitute(url=_inside(url), folder=_inside(folder.as_posix()))


def _inside(value: str) -> str:
    """The value as it stands between the quotes of a TOML string."""
    return json.dumps(value, ensure_ascii=False)[1:-1]
