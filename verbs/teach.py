"""The verbs with which people teach the tagger: review what it doubts, and adapt it."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click

from .. import console
from ..house import House, adapted, clock, journey, me, opened
from ..storage import annotations as tags
from ..storage import lessons as stored
from ..storage import search as finding
from ..storage.search import Found, Wanted
from ..storage.vocabulary import UNKNOWN_LANGUAGE, Annotation, Sentiment, joined_text
from .files import FILE, JsonLines, named, reading
from .read import tell_found

if TYPE_CHECKING:
    from ..nlp.adapting.adapt import Adapted
    from ..nlp.adapting.lessons import Lesson

_CANDIDATES = 2000
_ANSWERS = {
    "-": Sentiment.NEGATIVE,
    "n": Sentiment.NEGATIVE,
    "0": Sentiment.NEUTRAL,
    "u": Sentiment.NEUTRAL,
    "+": Sentiment.POSITIVE,
    "p": Sentiment.POSITIVE,
}
_KEYS = "- negative · 0 neutral · + positive · 1…9 touchpoint · s skip · z undo · q quit"


def queue(house: House, limit: int) -> list[Found]:
    """What to ask about, the most instructive first."""
    from ..nlp.teaching import Question, ranked

    found = list(finding.search(house.db, Wanted(worth_asking=True), limit=_CANDIDATES))
    questions = [
        Question(
            each.id,
            (each.p_negative or 0.0, each.p_neutral or 0.0, each.p_positive or 0.0),
            each.expected_stars,
            each.stars,
            (each.language, each.sentiment, each.touchpoints[:1]),
        )
        for each in found
    ]
    by_id = {each.id: each for each in found}
    return [by_id[number] for number in ranked(questions)[:limit]]


@click.command("review")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True)
@click.option("--list", "only_list", is_flag=True, help="Only show them; what a pipe gets anyway.")
@click.option("--by", default=me, help="Who answers (default: you).")
@opened
@clock
@console.as_json
def review_verb(house: House, *, limit: int, only_list: bool, by: str, as_json: bool) -> None:
    """Settle what the tagger doubts, one key each; what teaches it most comes first."""
    asked = queue(house, limit)
    if as_json or only_list or not (sys.stdin.isatty() and sys.stderr.isatty()):
        tell_found(asked, as_json=as_json)
        if asked and not as_json:
            console.say("Settle one with `ouvidor correct ID --sentiment … --touchpoint NAME=…`.")
        return
    if not asked:
        console.say("Nothing is in doubt.")
        return
    with _keys() as read:
        answers = _Session(house, by, read).ask(asked)
    console.say(f"{answers} answered. `ouvidor adapt` learns from them.")


@contextmanager
def _keys() -> Iterator[Callable[[], str]]:
    """What reads one key, whenever it was pressed: typing ahead loses nothing."""
    try:
        import termios
        import tty
    except ImportError:  # a terminal of Windows has neither
        yield click.getchar
        return
    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin, termios.TCSADRAIN)
    try:
        yield lambda: sys.stdin.read(1)
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


@dataclass
class _Session:
    """One sitting: each answer is stored at once, and the last ones can be taken back."""

    house: House
    by: str
    read: Callable[[], str]
    done: list[tuple[int, int, Annotation]] = field(default_factory=list)

    def ask(self, asked: Sequence[Found]) -> int:
        """Ask until all are answered or the person quits; how many were answered."""
        at = 0
        while at < len(asked):
            found = asked[at]
            console.out(f"\n{at + 1} of {len(asked)} · {found.source} · {_stars(found)}", "bold")
            console.out(joined_text(found.title, found.text))
            key, about = self._answer(found)
            if key == "q":
                break
            if key == "z":
                at = self._undo(at)
                continue
            if key in _ANSWERS:
                self._keep(at, found, _ANSWERS[key], about)
            at += 1
        return len(self.done)

    def _answer(self, found: Found) -> tuple[str, dict[str, bool]]:
        """The key that ends the question, and which touchpoints were changed on the way."""
        names = list(self.house.config.touchpoints)[:9]
        now = {name: name in found.touchpoints for name in names}
        before = dict(now)
        while True:
            marks = (f"{n}{'●' if now[k] else '○'}{k}" for n, k in enumerate(names, 1))
            console.say(" ".join(marks))
            console.say(f"Read as {found.sentiment}. {_KEYS}")
            key = self.read().lower() or "q"
            if key.isdecimal() and 0 < int(key) <= len(names):
                name = names[int(key) - 1]
                now[name] = not now[name]
            elif key in _ANSWERS or key in "szq":
                return key, {name: yes for name, yes in now.items() if yes != before[name]}
            else:
                console.say("That key means nothing here.")

    def _keep(self, at: int, found: Found, sentiment: Sentiment, about: Mapping[str, bool]) -> None:
        shown = finding.show(self.house.db, found.id)
        if shown.annotation is None:
            console.say("It was edited meanwhile and waits for the tagger; it is left out.")
            return
        touchpoints = {name: sentiment if yes else None for name, yes in about.items()}
        tags.correct(
            self.house.db,
            tags.Correction(
                feedback_id=found.id,
                at=self.house.now(),
                by=self.by,
                sentiment=sentiment,
                touchpoints=touchpoints,
            ),
        )
        self.house.note("correct", feedback=found.id)
        self.done.append((at, found.id, shown.annotation))

    def _undo(self, at: int) -> int:
        if not self.done:
            console.say("Nothing to undo.")
            return at
        at, feedback_id, before = self.done.pop()
        tags.withdraw(self.house.db, feedback_id, before, now=self.house.now())
        self.house.note("correct undo", feedback=feedback_id)
        return at


def _stars(found: Found) -> str:
    return f"{found.stars} stars" if found.stars else "no stars"


class _Watcher:
    """Shows an adaptation on the console."""

    def say(self, sentence: str) -> None:
        """To stderr."""
        console.say(sentence)

    def progress(self, what: str, count: int) -> AbstractContextManager[Callable[[int], None]]:
        """A bar, or lines."""
        return console.progress(what, count)


@click.command("adapt")
@click.option(
    "--from",
    "file",
    type=FILE,
    help="Learn from labelled JSON Lines (text, lang, stars, sentiment, topics, touchpoints).",
)
@click.option(
    "--most", type=click.IntRange(min=60), help="Learn from so many at most (default: 50000)."
)
@click.option("--undo", is_flag=True, help="Go back to the shipped weights.")
@opened
@console.as_json
def adapt_verb(
    house: House, *, file: str | None, most: int | None, undo: bool, as_json: bool
) -> int:
    """Teach the tagger from your own stars, corrections and examples; kept only if better."""
    from ..nlp.adapting import adapt as adapting

    where = adapted(house.config)
    if undo:
        gone = adapting.undo(where)
        house.note("adapt undo")
        words = "The shipped weights are in force again." if gone else "Nothing was adapted."
        console.tell({"undone": gone}, words, as_json=as_json)
        return 0
    from ..nlp.adapting.lessons import LessonsError, course

    try:
        most = most or adapting.MOST
        plan = course(_lessons(house, file, most), most=most)
        done = adapting.adapt(plan, where, _Watcher(), journey=journey(house.config))
    except LessonsError as error:
        raise click.ClickException(f"{error}. The weights stay as they are.") from error
    return _tell(house, done, as_json=as_json)


def _lessons(house: House, file: str | None, most: int) -> list[Lesson]:
    from ..nlp.adapting.lessons import Lesson, LessonsError, of_rows, of_stars

    if file is not None:
        with reading(file) as lines, named(file):
            rows = JsonLines(lines)
            found = of_rows(rows)
            rows.check()
        _same_language(house, file, found)
        return found
    told = list(stored.told(house.db, most=most))
    if not told:
        raise LessonsError(
            "nothing that is stored has stars or corrections yet; collect and `ouvidor review` "
            "first, or name a labelled file with --from"
        )
    lessons = [
        Lesson(
            each.text,
            each.language,
            each.sentiment or of_stars(each.stars),
            each.stars,
            touchpoints={k: v is not None for k, v in each.touchpoints.items()} or None,
            sure=each.sentiment is not None or bool(each.touchpoints),
        )
        for each in told
    ]
    corrected = {name for each in told for name in each.touchpoints}
    return [*lessons, *_of_examples(house, corrected)]


def _same_language(house: House, file: str, lessons: Sequence[Lesson]) -> None:
    """Refuse a file that shares no language with what is stored; raises LessonsError."""
    from ..nlp.adapting.lessons import LessonsError
    from ..nlp.language import identify

    newest = stored.told(house.db, most=_SAMPLE)
    ours = Counter(each.language for each in newest if each.language)
    some = lessons[:: max(1, len(lessons) // _SAMPLE)]
    theirs = Counter(identify(each.text, each.language)[0] for each in some)
    for languages in (ours, theirs):
        languages.pop(UNKNOWN_LANGUAGE, None)
    if ours and theirs and not ours & theirs:
        raise LessonsError(
            f"{file} is in {theirs.most_common(1)[0][0]}, what is stored is mostly in "
            f"{ours.most_common(1)[0][0]}; give texts like those that are to be read, or collect "
            "some in that language first"
        )


_SAMPLE = 300


def _of_examples(house: House, corrected: Collection[str]) -> Iterator[Lesson]:
    """What the configured sentences say.

    A sentence that stands for one touchpoint is not about another, unless it stands there too;
    that counts only where somebody has corrected the other one: examples alone need no learning.
    """
    from ..nlp.adapting.lessons import Lesson

    by_name = {name: set(each.examples) for name, each in house.config.touchpoints.items()}
    for said in sorted(set().union(*by_name.values())):
        about = {name: said in examples for name, examples in by_name.items()}
        kept = {name: yes for name, yes in about.items() if yes or name in corrected}
        yield Lesson(said, touchpoints=kept)


def _tell(house: House, done: Adapted, *, as_json: bool) -> int:
    if as_json:
        console.emit(done)
    else:
        rows = [[f.name, f.n, f.before, f.after] for f in done.verdict.figures]
        console.table(["held out", "n", "before", "after"], rows, right="n before after")
    if done.contradictory:
        console.say(f"{done.contradictory} texts with contradictory labels were left out.")
    if done.version is None:
        console.say(
            f"Not better (it errs less in {done.verdict.sure:.0%} of redraws, 90% are asked for): "
            "the weights stay as they were. More lessons may help."
        )
        return 1
    house.note("adapt", tagger=done.version)
    console.say(
        f"{done.version} is in force, after {max(1, round(done.seconds / 60))} min and with "
        f"{done.memory_mb} MB. `ouvidor annotate` reads everything again; `ouvidor adapt --undo` "
        "goes back."
    )
    for name in set(done.touchpoints) - set(house.config.touchpoints):
        console.say(
            f'It learnt {name!r}. To follow it: [touchpoints.{name}] name = "{name}", '
            'stage = "during", learnt = true'
        )
    return 0
