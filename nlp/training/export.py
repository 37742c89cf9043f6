"""Writes the trained heads: one safetensors file and one readable description."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import save

from ...storage.vocabulary import Sentiment, Topic
from ..encoder import NAME
from ..heads import ADAPTER, DESCRIPTION, WEIGHTS, fingerprint

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from ..heads import Head, Learnt, Similarity
    from ..lexical import Lexical

    Floats = NDArray[np.float32]

VERSION = "e5s-5"
"""Raised when the meaning of a label changes; the checksum tells every training run apart."""

PRECISION = 0.8
"""What is not marked as uncertain is right so often, on held-out text."""

SOURCES = {
    "minibar": "Mini-BAR app reviews, MIT",
    "nhs_feedback": "pxtextmining, Copyright (c) 2021 NHS England, MIT",
    "womens_clothing": "Women's Clothing E-Commerce Reviews (nicapotato, Kaggle), CC0 as declared "
    "by its uploader",
    "amazon_fine_food_sample": "Amazon Fine Food Reviews (McAuley & Leskovec 2013), CC0 as "
    "declared by its publisher",
    "nsmc_stars": "Naver sentiment movie corpus (e9t/nsmc), CC0 as declared by its collector",
    "prdect_id": "PRDECT-ID (Sutoyo et al. 2022), CC BY 4.0",
    "indonlu": "IndoNLU (Wilie et al. 2020), Apache-2.0",
    "liu_products": "Hu & Liu 2004; Ding et al. 2008; Ganapathibhotla & Liu 2008, CC BY 4.0",
    "xed_core": "XED (Öhman et al. 2020), CC BY 4.0",
    "brighter": "BRIGHTER / SemEval-2025 Task 11 (Muhammad et al. 2025), CC BY 4.0",
    "afrisenti": "AfriSenti (Muhammad et al. 2023), CC BY 4.0",
    "goemotions": "GoEmotions (Demszky et al. 2020, Google), Apache-2.0",
    "wisesight": "Wisesight Sentiment Corpus (PyThaiNLP), CC0",
    "own": "sentences written for this project (nlp/topics, nlp/training/corpus), Apache-2.0",
}


@dataclass(frozen=True, slots=True)
class Trained:
    """The result of one training run."""

    layers: tuple[int, ...]
    sentiment: Head
    clause: Head
    stars: Head
    topics: Head
    cutoffs: Mapping[Topic, float]
    warmths: Mapping[str, float]
    uncertain: float
    similarity: Similarity
    adapter: Mapping[str, Floats]
    version: str = VERSION
    learnt: Learnt | None = None
    lexical: Lexical | None = None
    base: str | None = None


def export(trained: Trained, folder: Path) -> None:
    """Write both files; the description carries the SHA-256 of the weights."""
    heads: dict[str, tuple[Head, list[str]]] = {
        "sentiment": (trained.sentiment, [*map(str, Sentiment)]),
        "clause": (trained.clause, [*map(str, Sentiment)]),
        "stars": (trained.stars, ["more than 1", "more than 2", "more than 3", "more than 4"]),
        "topics": (trained.topics, [*map(str, Topic)]),
    }
    if trained.learnt:
        heads["touchpoints"] = (trained.learnt.head, [*trained.learnt.names])
    weights = {
        f"{name}.{index}.{part}": array.astype(np.float16)
        for name, (head, _) in heads.items()
        for index, layer in enumerate(head.layers)
        for part, array in zip(("weight", "bias"), layer, strict=True)
    }
    weights["similarity.centre"] = trained.similarity.centre.astype(np.float16)
    weights["similarity.projection"] = trained.similarity.projection.astype(np.float16)
    weights |= {
        f"{ADAPTER}{name}": array.astype(np.float16) for name, array in trained.adapter.items()
    }
    if trained.lexical:
        for name in ("rarity", "weight", "bias"):
            weights[f"lexical.{name}"] = getattr(trained.lexical, name).astype(np.float16)
    packed = save(weights)
    description: dict[str, Any] = {
        "version": trained.version,
        "encoder": NAME,
        "layers": list(trained.layers),
        "heads": {name: _described(head, labels) for name, (head, labels) in heads.items()},
        "similarity": {
            "columns": _ends(trained.similarity.columns),
            "slope": trained.similarity.slope,
            "offset": trained.similarity.offset,
        },
        "cutoffs": dict(trained.cutoffs),
        "warmths": dict(trained.warmths),
        "uncertain": trained.uncertain,
        "precision": PRECISION,
        "sources": SOURCES,
        "sha256": hashlib.sha256(packed).hexdigest(),
    }
    if trained.learnt:
        description["heads"]["touchpoints"] |= {
            "exclusive": trained.learnt.exclusive,
            "cutoffs": dict(trained.learnt.cutoffs),
        }
    if trained.base:
        description["base"] = trained.base
    # As it will be read: numbers of numpy's own kinds are not written as they compare.
    description = json.loads(json.dumps(description))
    description["own_sha256"] = fingerprint(description)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / WEIGHTS).write_bytes(packed)
    text = json.dumps(description, indent=1, ensure_ascii=False)
    (folder / DESCRIPTION).write_text(text + "\n", encoding="utf-8")


def _described(head: Head, labels: list[str]) -> dict[str, object]:
    return {
        "labels": labels,
        "layers": len(head.layers),
        "columns": _ends(head.columns),
        "temperature": head.temperature,
    }


def _ends(columns: slice) -> list[int]:
    return [columns.start, columns.stop]
