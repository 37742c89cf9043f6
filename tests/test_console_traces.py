"""A fault that comes back at every tick of `serve` is written down once."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from ouvidor import console


def fault(words: str) -> Exception:
    with pytest.raises(KeyError) as caught:
        raise KeyError(words)
    return caught.value


def test_the_same_fault_has_one_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(console, "_traces", {})
    said = {console.explain(fault(str(number))) for number in range(100)}
    [file] = tmp_path.iterdir()
    assert len(said) == 1
    assert str(file) in said.pop()
    assert "KeyError: '0'" in file.read_text(encoding="utf-8")

    with pytest.raises(ZeroDivisionError) as another:
        _ = 1 / 0
    assert str(file) not in console.explain(another.value)
    assert len(list(tmp_path.iterdir())) == 2
