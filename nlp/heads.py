"""The trained heads: features in, calibrated probabilities out. NumPy only, no pickle."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..storage.vocabulary import Topic
from .lexical import Lexical

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

MODEL_FOLDER = Path(__file__).parent / "model"
WEIGHTS = "heads.safetensors"
DESCRIPTION = "heads.json"
ADAPTER = "adapter."
"""What the names of the adapter's tensors begin with."""


class HeadsError(Exception):
    """The shipped heads cannot be used; the text names the file and the mend."""


@dataclass(frozen=True, slots=True)
class Head:
    """A linear layer, or two with a GELU between; ``columns`` are the features it looks at."""

    columns: slice
    layers: tuple[tuple[Floats, Floats], ...]
    temperature: float

    def scores(self, features: Floats) -> Floats:
        """(n, classes) logits, already divided by the temperature."""
        values = features[:, self.columns]
        for index, (weight, bias) in enumerate(self.layers):
            values = (_gelu(values) if index else values) @ weight.T + bias
        return np.asarray(values / self.temperature, np.float32)


@dataclass(frozen=True, slots=True)
class Similarity:
    """How near two clauses speak of the same thing: cosine in a space without language and mood.

    A clause whose cosine to the middle of a touchpoint's examples is c speaks of it with the
    probability 1 / (1 + exp(-(slope·c + offset))). (The nearest single example did worse: mean
    average precision .27 against .35 on topics it never saw, four examples each.)
    """

    columns: slice
    centre: Floats
    projection: Floats
    slope: float
    offset: float

    def project(self, features: Floats) -> Floats:
        """(n, dimensions) vectors of length 1."""
        vectors = (features[:, self.columns] - self.centre) @ self.projection.T
        return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1)[:, None], 1e-9))

    def probability(self, cosine: Floats) -> Floats:
        """Probability of the same subject for a cosine."""
        return sigmoid(self.slope * cosine + self.offset)


@dataclass(frozen=True, slots=True)
class Learnt:
    """Touchpoints of a brand that were learnt from its own feedback.

    ``head`` reads whole texts, and clauses to find where; ``exclusive`` says that each text is
    about exactly one of ``names``; ``cutoffs`` holds the probability from which on it is.
    """

    names: tuple[str, ...]
    head: Head
    exclusive: bool
    cutoffs: Mapping[str, float]

    def probabilities(self, features: Floats) -> Floats:
        """(n, touchpoints) of whole texts, or of clauses, which have fewer features."""
        weight, bias = self.head.layers[0]
        width = min(features.shape[1], weight.shape[1])
        head = Head(slice(0, width), ((weight[:, :width], bias),), self.head.temperature)
        scores = head.scores(features)
        return softmax(scores) if self.exclusive else sigmoid(scores)


@dataclass(frozen=True, slots=True)
class Heads:
    """All heads of one training run.

    ``sentiment`` reads whole texts, ``clause`` (sentiment too) and ``topics`` read clauses,
    ``stars`` gives P(more than 1, 2, 3, 4 stars). ``cutoffs`` holds one probability per topic,
    ``warmths`` what the sentiment's scores in a group of languages are divided by, ``uncertain``
    the probability below which nobody should rely on the sentiment. ``adapter`` holds the changes
    to the encoder that were learnt with the heads (see ``reference.load_model``). ``learnt`` is
    there in weights that were adapted to a brand, ``lexical`` adds features to their whole texts,
    ``base`` is the version they began with.
    """

    version: str
    layers: tuple[int, ...]
    sentiment: Head
    clause: Head
    stars: Head
    topics: Head
    similarity: Similarity
    cutoffs: Mapping[Topic, float]
    warmths: Mapping[str, float]
    uncertain: float
    adapter: Mapping[str, Floats]
    learnt: Learnt | None = None
    lexical: Lexical | None = None
    base: str | None = None

    @classmethod
    def load(cls, folder: Path = MODEL_FOLDER) -> Heads:
        """The heads of a folder; raises HeadsError when they are missing, damaged or foreign."""
        description, weights = _checked(folder)
        heads = {
            name: _head(description["heads"][name], weights, name)
            for name in ("sentiment", "clause", "stars", "topics")
        }
        near = description["similarity"]
        return cls(
            version=f"{description['version']}.{description['sha256'][:8]}",
            layers=tuple(description["layers"]),
            similarity=Similarity(
                columns=slice(*near["columns"]),
                centre=weights["similarity.centre"],
                projection=weights["similarity.projection"],
                slope=near["slope"],
                offset=near["offset"],
            ),
            cutoffs={Topic(name): value for name, value in description["cutoffs"].items()},
            warmths=description.get("warmths", {}),
            uncertain=description["uncertain"],
            adapter={
                name.removeprefix(ADAPTER): array
                for name, array in weights.items()
                if name.startswith(ADAPTER)
            },
            learnt=_learnt(description, weights),
            lexical=_lexical(weights),
            base=description.get("base"),
            **heads,
        )


def fingerprint(description: Mapping[str, Any]) -> str:
    """SHA-256 of a description without its own: cut-offs and temperatures decide, too."""
    rest = {name: value for name, value in description.items() if name != "own_sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _checked(folder: Path) -> tuple[dict[str, Any], dict[str, Floats]]:
    from safetensors.numpy import load

    mend = "reinstall ouvidor, or train anew with `python -m ouvidor.nlp.training.train`"
    if folder != MODEL_FOLDER:
        # Adapted weights lie elsewhere.
        mend = f"go back to the shipped weights with `ouvidor adapt --undo`, or {mend}"
    try:
        description = json.loads((folder / DESCRIPTION).read_bytes())
        data = (folder / WEIGHTS).read_bytes()
        known = description["heads"]["topics"]["labels"] == list(Topic)
        whole = hashlib.sha256(data).hexdigest() == description["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise HeadsError(f"the heads in {folder} cannot be read ({error}); {mend}") from error
    if not whole:
        message = f"{folder / WEIGHTS} is damaged: its SHA-256 is not the one in {DESCRIPTION}; "
        raise HeadsError(message + mend)
    if not known:
        message = f"{folder / DESCRIPTION} was trained on another list of topics; "
        raise HeadsError(message + mend)
    if description.get("own_sha256") != fingerprint(description):
        message = f"{folder / DESCRIPTION} was changed: its own SHA-256 is another; "
        raise HeadsError(message + mend)
    return description, {k: v.astype(np.float32) for k, v in load(data).items()}


def _head(settings: dict[str, Any], weights: Mapping[str, Floats], name: str) -> Head:
    count = settings["layers"]
    layers = tuple(
        (weights[f"{name}.{index}.weight"], weights[f"{name}.{index}.bias"])
        for index in range(count)
    )
    return Head(slice(*settings["columns"]), layers, settings["temperature"])


def _learnt(description: dict[str, Any], weights: Mapping[str, Floats]) -> Learnt | None:
    settings = description["heads"].get("touchpoints")
    if settings is None:
        return None
    head = _head(settings, weights, "touchpoints")
    names = tuple(settings["labels"])
    return Learnt(names, head, settings["exclusive"], settings["cutoffs"])


def _lexical(weights: Mapping[str, Floats]) -> Lexical | None:
    names = [f"lexical.{name}" for name in ("rarity", "weight", "bias")]
    return Lexical(*(weights[name] for name in names)) if names[0] in weights else None


def _gelu(values: Floats) -> Floats:
    # The tanh form, within 1e-3 of the exact one; training uses the same.
    inner = np.sqrt(2 / np.pi) * (values + 0.044715 * values**3)
    return np.asarray(0.5 * values * (1 + np.tanh(inner)), np.float32)


def softmax(scores: Floats) -> Floats:
    """Probabilities along the last axis."""
    shifted = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True), np.float32)


def middle(vectors: Floats) -> Floats:
    """The direction of the mean of vectors of length 1, of length 1 too."""
    mean = vectors.mean(axis=0)
    return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-9), np.float32)


def sigmoid(scores: Floats) -> Floats:
    """1 / (1 + exp(-x)), without overflow."""
    return np.asarray(0.5 * (1 + np.tanh(np.asarray(scores) / 2)), np.float32)


def expected_stars(scores: Floats) -> Floats:
    """Expected stars 1–5 from the logits of "more than 1, 2, 3, 4 stars"."""
    return np.asarray(1 + np.minimum.accumulate(sigmoid(scores), axis=1).sum(axis=1), np.float32)
