"""Adapts the shipped weights to a brand's own feedback, and keeps them only if they are better.

What is learnt lies in a folder of its own; the shipped weights are never touched.
"""

from __future__ import annotations

import ctypes
import logging
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from tokenizers import Tokenizer

from ...storage.vocabulary import Sentiment
from ..encoder import prepare
from ..features import Encoder
from ..heads import MODEL_FOLDER, Head, Heads, Learnt, softmax
from ..language import group, identify
from ..lexical import Lexical
from ..tagger import Part, Tagger
from ..text import clean
from ..touchpoints import Named, Touchpoint
from ..training import apart
from ..training.calibrate import calibrated, cutoffs, doubt, nearest, warmths
from ..training.examples import mood
from ..training.export import PRECISION, Trained, export
from ..training.nearness import learn as learn_similarity
from ..training.network import LAYERS, Tuned
from ..training.tune import Pace, learn, saved
from . import second
from .learner import Encoded, Learner, batches, encoded, loss_of
from .lessons import Course, Lesson, LessonsError
from .trial import Verdict, judge

Floats = NDArray[np.float32]

MOST = 50_000
"""Lessons at most. All teach the second opinion; the encoder learns from those it has time for."""

_TOKENS = 600_000
"""Tokens that the encoder reads while learning: a quarter of an hour on two cores."""
_EPOCHS = (1, 12)
_HELD = 5000
"""So many lessons, the best first, say what they say of their clauses; the others of the whole."""
_WIDTH = slice(0, 384)
_LEAST = 30
"""Fewer kept lessons than this leave a touchpoint's cut-off in the middle."""
_FEW = 100
"""Fewer kept lessons than this leave a temperature as it was."""
_MANY = 300
"""From so many kept lessons on they say how everything that is known of a sentiment is mixed."""
_HALF = 0.5
_SOME = 64
_PACE = Pace(7e-4, 2e-3, 40)
_STATE, _TRIAL = "training", "trial"

_log = logging.getLogger(__name__)


class AdaptError(Exception):
    """Nothing can be learnt just now; the text says why."""


class Watcher(Protocol):
    """Is told how an adaptation goes."""

    def say(self, sentence: str) -> None:
        """One sentence for the user."""

    def progress(self, what: str, count: int) -> AbstractContextManager[Callable[[int], None]]:
        """A bar with so many steps, and what to call with those done."""


@dataclass(frozen=True, slots=True)
class Adapted:
    """What came out. ``version`` is in force from now on, or None where nothing changed."""

    version: str | None
    verdict: Verdict
    touchpoints: tuple[str, ...]
    taught: int
    kept: int
    contradictory: int
    seconds: float
    memory_mb: int


def adapt(
    course: Course,
    folder: Path,
    watcher: Watcher,
    *,
    journey: Sequence[Touchpoint] = (),
    cache: Path | None = None,
    shipped: Path = MODEL_FOLDER,
    tokens: int | None = None,
) -> Adapted:
    """Learn, compare with the shipped weights, and put ``folder`` in force if it is better.

    ``tokens`` is how many the encoder reads while learning; None: as many as suit two cores.
    Interrupted (KeyboardInterrupt), the next call with the same course goes on. Raises
    AdaptError, LessonsError, StateError, EncoderError, HeadsError, or OSError where nothing can be
    written.
    """
    with _alone(folder):
        return _adapted(course, folder, watcher, journey, cache, shipped, tokens or _TOKENS)


def undo(folder: Path) -> bool:
    """Go back to the shipped weights; whether there was anything to undo. Raises AdaptError."""
    if not any(each.exists() for each in _folders(folder)):
        return False
    with _alone(folder):
        for each in _folders(folder):
            if each.exists():
                shutil.rmtree(each)
    return True


def _folders(folder: Path) -> list[Path]:
    """The weights in force, those that are being made, and what a killed change left."""
    return [folder, *(folder.with_name(f"{folder.name}.{end}") for end in ("new", "old"))]


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time changes the weights of a house."""
    try:
        with FileLock(folder.with_name(f"{folder.name}.lock"), timeout=0):
            yield
    except Timeout as error:
        raise AdaptError(
            f"another `ouvidor adapt` is at work on {folder}; wait for its end"
        ) from error


def _adapted(
    course: Course,
    folder: Path,
    watcher: Watcher,
    journey: Sequence[Touchpoint],
    cache: Path | None,
    shipped: Path,
    tokens: int,
) -> Adapted:
    began = time.monotonic()
    _return_memory()
    heads = Heads.load(shipped)
    names = {each.id for each in journey}
    journey = [*journey, *(Named(name) for name in course.touchpoints if name not in names)]
    before = Tagger(touchpoints=journey, cache=cache, model=shipped)
    _, work, _ = _folders(folder)
    words = second.learnt(course)
    found = _learnt(course, heads, before, work / _STATE, watcher, cache, tokens)
    trained = _finished(found, words, heads, course, cache)
    trial = work / _TRIAL
    export(trained, trial)
    after = Tagger(touchpoints=journey, cache=cache, model=trial)
    with watcher.progress("comparing", 2 * len(course.kept)) as step:
        verdict = judge(course.kept, before, after, step)
    version = None
    if verdict.better:
        version = Heads.load(trial).version
        _put_in_force(trial, folder)
    shutil.rmtree(work)
    return Adapted(
        version,
        verdict,
        course.touchpoints,
        len(course.taught),
        len(course.kept),
        course.contradictory,
        time.monotonic() - began,
        _memory(),
    )


def _put_in_force(trial: Path, folder: Path) -> None:
    _, _, old = _folders(folder)
    if old.exists():
        shutil.rmtree(old)
    if folder.exists():
        folder.rename(old)
    trial.rename(folder)
    if old.exists():
        shutil.rmtree(old)


def _learnt(
    course: Course,
    heads: Heads,
    before: Tagger,
    state: Path,
    watcher: Watcher,
    cache: Path | None,
    most: int,
) -> Tuned:
    torch.manual_seed(1)
    rows = _encoded(course, before, watcher, cache, most)
    tokens = sum(len(row.tokens) + 2 for row in rows)
    epochs = min(max(round(most / tokens), _EPOCHS[0]), _EPOCHS[1])
    learner = Learner(
        heads, len(course.touchpoints), exclusive=course.exclusive, cache=cache, again=epochs > 1
    )
    plan = batches(rows, epochs)
    seconds = _measured(learner, plan[0]) * tokens * epochs
    seconds += _afterwards(course, before)
    memory = _memory() + learner.remembers(tokens) // 2**20
    name = f"{heads.version} {course.fingerprint}"
    if (begun := saved(state)) and begun != name:
        watcher.say("The lessons have changed since it was stopped: it begins anew.")
    closely = "" if len(rows) == len(course.taught) else f" ({len(rows)} of them closely)"
    watcher.say(
        f"Learning from {len(course.taught)} texts{closely}, {len(course.kept)} are kept to "
        f"compare: about {max(1, round(seconds / 60))} min and {memory} MB of memory. Ctrl-C stops "
        "it, and the same command goes on."
    )
    pace = Pace(_PACE.rate, _PACE.head_rate, _PACE.save_every, name)
    with watcher.progress("learning", len(plan)) as step:
        learn(learner, plan, state=state, pace=pace, loss_of=loss_of, progress=step)
    return learner.learnt()


def _encoded(
    course: Course, before: Tagger, watcher: Watcher, cache: Path | None, most: int
) -> list[Encoded]:
    """The lessons that the encoder has time for once, the best first."""
    tokenizer = Tokenizer.from_file(str(prepare(cache) / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    rows: list[Encoded] = []
    read: Sequence[Sequence[Part]]
    tokens = 0
    with watcher.progress("reading", len(course.taught)) as step:
        for at in range(0, len(course.taught), 128):
            part = course.taught[at : at + 128]
            read = _clauses(before, part) if at < _HELD else [()] * len(part)
            more = list(encoded(tokenizer, part, read, course))
            rows += more
            step(len(part))
            tokens += sum(len(row.tokens) + 2 for row in more)
            if tokens >= most:
                step(len(course.taught) - at - len(part))
                break
    if not rows:
        raise LessonsError("none of the texts holds a word; give texts that do")
    return rows


def _clauses(before: Tagger, lessons: Sequence[Lesson]) -> list[list[Part]]:
    return before.parts([clean(lesson.text).text for lesson in lessons])


def _measured(learner: Learner, batch: list[Encoded]) -> float:
    """Seconds a token takes here, from one batch that teaches nothing."""
    seconds = 0.0
    for _ in range(2):  # the first one warms up
        began = time.perf_counter()
        torch.autograd.backward(loss_of(learner, batch))
        seconds = time.perf_counter() - began
    learner.zero_grad()
    return seconds / sum(len(row.tokens) + 2 for row in batch)


def _afterwards(course: Course, before: Tagger) -> float:
    """Seconds that reading will take once all is learnt: to finish the heads, and to compare."""
    some = [clean(lesson.text).text for lesson in course.kept[:_SOME]]
    if not some:
        return 0.0
    began = time.perf_counter()
    before.parts(some)
    told = sum(lesson.touchpoints is not None for lesson in course.taught)
    texts = 3 * len(course.kept) + min(told, _HELD) + len(apart.sentences())
    return (time.perf_counter() - began) / len(some) * texts


def _return_memory() -> None:
    """Have large blocks go back to the system at once; glibc would keep and scatter them.

    Half of what a course takes, measured.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(_M_MMAP_THRESHOLD, 1 << 20)


_M_MMAP_THRESHOLD = -3
"""Its number in malloc.h."""


def _memory() -> int:
    """The most memory this process took so far, in MB."""
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most // (1024 * 1024 if sys.platform == "darwin" else 1024)


def _finished(
    found: Tuned, words: Lexical, heads: Heads, course: Course, cache: Path | None
) -> Trained:
    """Probabilities that are right on the kept lessons; where they are few, as they were."""
    encoder = Encoder(layers=(LAYERS,), adapter=found.adapter, cache=cache)
    new = {name: Head(_WIDTH, (layer,), 1.0) for name, layer in found.heads.items()}
    kept = course.kept
    texts = [clean(lesson.text).text for lesson in kept]
    wholes = np.hstack([_read(encoder, texts), words.scores(texts)])
    sentiment, warm, uncertain = _sentiment(new, heads, kept, wholes)
    touched = _touched(encoder, course)
    sentences = apart.sentences()
    features = _read(encoder, [sentence.text for sentence in sentences])
    return Trained(
        layers=(LAYERS,),
        sentiment=sentiment,
        clause=_as_warm(new["clause"], heads.clause),
        stars=_stars(new["stars"], heads, kept, wholes),
        topics=_as_warm(new["topics"], heads.topics),
        cutoffs=heads.cutoffs,
        warmths=warm,
        uncertain=uncertain,
        similarity=learn_similarity(features, sentences, columns=_WIDTH),
        adapter=found.adapter,
        version=f"{heads.version.partition('.')[0]}+own",
        learnt=_touchpoints([new["touchpoints"], touched], course, wholes) if touched else None,
        lexical=words,
        base=heads.version,
    )


def _read(encoder: Encoder, texts: Sequence[str]) -> Floats:
    return np.stack([reading.whole for reading in encoder.read(list(texts))])


def _as_warm(head: Head, as_before: Head) -> Head:
    return Head(head.columns, head.layers, as_before.temperature)


def _touched(encoder: Encoder, course: Course) -> Head | None:
    """A head for the touchpoints, fitted to the end on what the encoder makes of them now."""
    names = course.touchpoints
    about = [(lesson.text, lesson.touchpoints or {}) for lesson in course.taught]
    told = [(text, each) for text, each in about if set(names) <= set(each)][:_HELD]
    if not names or not told:
        return None
    targets = np.array([[float(each[name]) for name in names] for _, each in told], np.float32)
    features = _read(encoder, [clean(text).text for text, _ in told])
    return second.of_features(features, targets, exclusive=course.exclusive)


def _sentiment(
    new: Mapping[str, Head], heads: Heads, kept: Sequence[Lesson], wholes: Floats
) -> tuple[Head, dict[str, float], float]:
    rows = [n for n, lesson in enumerate(kept) if lesson.sentiment is not None]
    if len(rows) < _FEW:
        return _as_warm(new["sentiment"], heads.sentiment), dict(heads.warmths), heads.uncertain
    targets = np.eye(len(Sentiment), dtype=np.float32)[[mood(kept[n].sentiment) for n in rows]]
    if len(rows) < _MANY:
        one = second.SENTIMENT
        both = second.beside(new["sentiment"], wholes[rows], targets, one, exclusive=True)
    else:
        both = second.stacked(new["sentiment"], new["stars"], wholes[rows], targets)
    warm = calibrated(both, wholes[rows], targets, exclusive=True)
    scores = warm.scores(wholes[rows])
    groups = [group(identify(kept[n].text, kept[n].language)[0]) for n in rows]
    by_group = warmths(scores, targets, groups)
    divided = scores / np.array([[by_group.get(each, 1.0)] for each in groups], np.float32)
    return warm, by_group, doubt(softmax(np.asarray(divided, np.float32)), targets, PRECISION)


def _stars(head: Head, heads: Heads, kept: Sequence[Lesson], wholes: Floats) -> Head:
    rows = [n for n, lesson in enumerate(kept) if lesson.stars]
    if len(rows) < _FEW:
        return _as_warm(head, heads.stars)
    stars = np.array([kept[n].stars for n in rows], np.float32)
    targets = second.more_than(stars)
    both = second.beside(head, wholes[rows], targets, second.STARS, exclusive=False)
    return nearest(both, wholes[rows], stars)


def _touchpoints(choices: Sequence[Head], course: Course, wholes: Floats) -> Learnt:
    """The best head with cut-offs that make the most hits."""
    names = course.touchpoints
    columns = second.touchpoints(len(names))
    # Where few are kept to choose by: what needs the fewest lessons.
    head = second.with_share(choices[-1], wholes.shape[1], columns, _HALF)
    known = [set(lesson.touchpoints or ()) for lesson in course.kept]
    rows = [n for n, each in enumerate(known) if set(names) <= each]
    cuts = dict.fromkeys(names, _HALF)
    if len(rows) >= _LEAST:
        told = [course.kept[n].touchpoints or {} for n in rows]
        truth = np.array([[float(each[name]) for name in names] for each in told], np.float32)
        head = second.best(choices, wholes[rows], truth, columns, exclusive=course.exclusive)
        likely = Learnt(names, head, course.exclusive, {}).probabilities(wholes[rows])
        if not course.exclusive:
            cuts = dict(zip(names, cutoffs(likely, truth, least=_LEAST), strict=True))
    return Learnt(names, head, course.exclusive, cuts)
