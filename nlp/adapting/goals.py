"""``python -m ouvidor.nlp.adapting.goals --corpus DIR``: what adaptation reaches on real sets.

Each set of ``DIR/data/eval`` plays a brand's own labelled history: its ``train`` part is learnt
from as ``ouvidor adapt`` does, its ``dev`` part measures. What was learnt is thrown away (those
sets may teach nothing that is shipped). Prints Markdown.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..evaluate import macro_f1
from ..heads import MODEL_FOLDER
from ..tagger import Tagger
from ..training import data
from ..training.goals import off, three, told, two
from .adapt import MOST, Adapted, adapt
from .lessons import course, key_of, of_rows

Row = dict[str, Any]

_MARC = ("en", "de", "es", "fr")
_SMALL = (50, 200, 1000)
_LATIN = 1000


class Quiet:
    """Nobody watches."""

    def say(self, sentence: str) -> None:
        """Not even this."""

    @contextmanager
    def progress(self, _what: str, _count: int) -> Iterator[Callable[[int], None]]:
        """No bar."""
        yield lambda _done: None


class Sets:
    """The sets of a corpus, as rows that ``adapt --from`` takes."""

    def __init__(self, corpus: Path) -> None:
        self._corpus = corpus
        path = corpus / "data" / "touchpoint_map.json"
        self._coarse: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))

    def rows(self, name: str, part: str) -> list[Row]:
        """The rows of one part, labelled as the goals want them."""
        rows = data.read(self._corpus, name, part, "eval")
        if name == "repro":
            return [{**r, "topics": [t for t in r["topics"] if t != "INADEQUADA"]} for r in rows]
        if name == "marc":
            return [row for row in rows if row["lang"] in _MARC]
        if name == "airline":
            # The goal is about the reasons of complaints.
            return [row for row in rows if row["topics"] and row["topics"] != ["Can't Tell"]]
        if name == "ra_tim":
            coarse = self._coarse["reclame_aqui"]
            named = [(row, coarse.get((row["topics"] or [""])[0])) for row in rows]
            return [{**row, "topics": [label]} for row, label in named if label]
        return rows


def taught(
    rows: Sequence[Row], most: int, folder: Path, tokens: int | None = None
) -> tuple[Adapted, Tagger]:
    """Learn from these rows; the tagger is the adapted one where it was better."""
    where = folder / "model"
    plan = course(of_rows(_plain(rows)), most=most)
    done = adapt(plan, where, Quiet(), tokens=tokens)
    return done, Tagger(model=where if done.version else MODEL_FOLDER)


def _plain(rows: Sequence[Row]) -> Iterator[Row]:
    for row in rows:
        kept = {key: row[key] for key in ("text", "lang", "stars", "sentiment")}
        # Labels that are words of ours here mean what the set means by them.
        labels = row["topics"]
        yield kept | {"touchpoints": None if labels is None else [f"own {x}" for x in labels]}


def _own(label: str) -> str:
    return key_of(f"own {label}")


def micro(tagger: Tagger, rows: Sequence[Row]) -> float:
    """Micro-F1 of the labels of texts that may have several."""
    cutoffs = tagger.cutoffs
    both = gold = said = 0
    for row, likely in zip(rows, tagger.learnt([row["text"] for row in rows]), strict=True):
        yes = {_own(label) for label in row["topics"]}
        found = {name for name, p in likely.items() if p >= cutoffs[name]}
        both, gold, said = both + len(yes & found), gold + len(yes), said + len(found)
    return 2 * both / (gold + said) if gold + said else 0.0


def hits(tagger: Tagger, rows: Sequence[Row]) -> float:
    """Accuracy on texts that have exactly one label."""
    found = tagger.learnt([row["text"] for row in rows])
    right = sum(
        bool(likely) and max(likely, key=lambda k: likely[k]) == _own(row["topics"][0])
        for row, likely in zip(rows, found, strict=True)
    )
    return right / len(rows)


def lines(
    corpus: Path, chosen: Sequence[str], most: int, tokens: int | None = None
) -> Iterator[str]:
    """The table, line by line, as each set is done."""
    sets = Sets(corpus)
    yield "| set | lessons | min | of a core | MB | reached | goal |"
    yield "|---|---|---|---|---|---|---|"
    for name in chosen:
        measure = _MEASURES[name]
        with tempfile.TemporaryDirectory() as folder:
            began, used = time.monotonic(), time.process_time()
            done, tagger = taught(sets.rows(name, "train"), most, Path(folder), tokens)
            minutes = f"{(time.monotonic() - began) / 60:.1f}"
            busy = f"{(time.process_time() - used) / 60:.1f}"
            reached, goal = measure(tagger, sets.rows(name, "dev"))
        kept = "" if done.version else " (refused: no better)"
        n = done.taught + done.kept
        cost = f"{n} | {minutes} | {busy} | {done.memory_mb}"
        yield f"| {name} | {cost} | {reached}{kept} | {goal} |"


def sizes(corpus: Path) -> Iterator[str]:
    """With few lessons, beside a linear SVM on TF-IDF that learnt from the same rows."""
    sets = Sets(corpus)
    yield "| set | lessons | adapted | linear SVM |"
    yield "|---|---|---|---|"
    for name, measure in (("b2w", _by_mood), ("repro", micro)):
        dev = data.draw(sets.rows(name, "dev"), _LATIN, lambda _row: 0)
        for size in _SMALL:
            rows = data.draw(sets.rows(name, "train"), size, lambda _row: 0)
            with tempfile.TemporaryDirectory() as folder:
                done, tagger = taught(rows, size, Path(folder))
                kept = "" if done.version else " (refused: no better)"
                ours = f"{measure(tagger, dev):.3f}{kept}"
            yield f"| {name} | {size} | {ours} | {_linear(name, rows, dev):.3f} |"


def _by_mood(tagger: Tagger, rows: Sequence[Row]) -> float:
    return three(told(tagger, rows))


def _linear(name: str, rows: Sequence[Row], dev: Sequence[Row]) -> float:
    """The same figure of a linear SVM: words, pairs of words and runs of letters."""
    from sklearn.feature_extraction.text import TfidfVectorizer  # type: ignore[import-untyped] # it ships no types
    from sklearn.multiclass import OneVsRestClassifier  # type: ignore[import-untyped] # the same
    from sklearn.pipeline import make_pipeline, make_union  # type: ignore[import-untyped] # the same
    from sklearn.preprocessing import MultiLabelBinarizer  # type: ignore[import-untyped] # the same
    from sklearn.svm import LinearSVC  # type: ignore[import-untyped] # the same

    known = [row for row in rows if name == "repro" or row["sentiment"]]
    asked = [row for row in dev if name == "repro" or row["sentiment"]]
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    letters = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True)
    svm = OneVsRestClassifier(LinearSVC()) if name == "repro" else LinearSVC()
    pipe = make_pipeline(make_union(words, letters), svm)
    texts = [row["text"] for row in known]
    if name != "repro":
        pipe.fit(texts, [row["sentiment"] for row in known])
        said = pipe.predict([row["text"] for row in asked])
        pairs = [(row["sentiment"], each) for row, each in zip(asked, said, strict=True)]
        return macro_f1(pairs, ("negative", "neutral", "positive"))
    labels = MultiLabelBinarizer().fit([row["topics"] for row in known])
    pipe.fit(texts, labels.transform([row["topics"] for row in known]))
    found = labels.inverse_transform(pipe.predict([row["text"] for row in asked]))
    both = sum(len(set(row["topics"]) & set(each)) for row, each in zip(asked, found, strict=True))
    count = sum(len(row["topics"]) + len(each) for row, each in zip(asked, found, strict=True))
    return 2 * both / count


def _repro(tagger: Tagger, rows: Sequence[Row]) -> tuple[str, str]:
    polarity = two(told(tagger, rows))
    reached = f"topics micro-F1 {micro(tagger, rows):.3f}, polarity macro-F1 {polarity:.3f}"
    return reached, "≥ .936, ≥ .96"


def _b2w(tagger: Tagger, rows: Sequence[Row]) -> tuple[str, str]:
    found = told(tagger, rows)
    far = off(found)
    exact = sum(each == 0 for each in far) / len(far)
    reached = (
        f"macro-F1 {three(found):.3f}, stars accuracy {exact:.3f}, MAE {sum(far) / len(far):.3f}"
    )
    return reached, "≥ .75, ≥ .56, ≤ .52"


def _umsab(tagger: Tagger, rows: Sequence[Row]) -> tuple[str, str]:
    by = {
        lang: 100 * three(told(tagger, [row for row in rows if row["lang"] == lang]))
        for lang in sorted({row["lang"] for row in rows})
    }
    each = " ".join(f"{lang} {value:.1f}" for lang, value in by.items())
    return f"mean macro-F1 {sum(by.values()) / len(by):.1f} ({each})", "≥ 65"


def _marc(tagger: Tagger, rows: Sequence[Row]) -> tuple[str, str]:
    by = {lang: off(told(tagger, [r for r in rows if r["lang"] == lang])) for lang in _MARC}
    return "MAE " + " ".join(f"{k} {sum(v) / len(v):.3f}" for k, v in by.items()), "≤ .58"


def _airline(tagger: Tagger, rows: Sequence[Row]) -> tuple[str, str]:
    return f"accuracy of reasons {hits(tagger, rows):.3f}", "≥ .68"


def _ra_tim(tagger: Tagger, rows: Sequence[Row]) -> tuple[str, str]:
    return f"accuracy of coarse classes {hits(tagger, rows):.3f}", "≥ .62"


_MEASURES: Mapping[str, Callable[[Tagger, Sequence[Row]], tuple[str, str]]] = {
    "repro": _repro,
    "b2w": _b2w,
    "umsab": _umsab,
    "marc": _marc,
    "airline": _airline,
    "ra_tim": _ra_tim,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table; see ``--help``."""
    parser = argparse.ArgumentParser(prog="python -m ouvidor.nlp.adapting.goals")
    parser.add_argument("--corpus", type=Path, required=True, help="the folder that holds data/")
    parser.add_argument("--only", nargs="+", choices=list(_MEASURES), default=list(_MEASURES))
    parser.add_argument("--most", type=int, default=MOST, help="lessons of a set at most")
    parser.add_argument("--tokens", type=int, help="that the encoder reads while learning")
    parser.add_argument("--sizes", action="store_true", help="few lessons, beside a linear SVM")
    options = parser.parse_args(arguments)
    if options.sizes:
        for line in sizes(options.corpus):
            print(line, flush=True)  # noqa: T201 - this is what the command is for
        return
    for line in lines(options.corpus, options.only, options.most, options.tokens):
        print(line, flush=True)  # noqa: T201 - this is what the command is for


if __name__ == "__main__":
    main()
