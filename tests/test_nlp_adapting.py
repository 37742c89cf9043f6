"""A brand's own lessons: what is taken from them, what is refused, and that learning helps."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock

from ouvidor.nlp import lexical
from ouvidor.nlp.adapting import adapt as adapting
from ouvidor.nlp.adapting import second
from ouvidor.nlp.adapting.adapt import AdaptError, adapt, undo
from ouvidor.nlp.adapting.lessons import Lesson, LessonsError, course, key_of, of_rows
from ouvidor.nlp.adapting.trial import judge
from ouvidor.nlp.classify import ClassifyError
from ouvidor.nlp.heads import MODEL_FOLDER, Head, Heads, HeadsError
from ouvidor.nlp.tagger import Tagger
from ouvidor.nlp.teaching import Question, ranked, worth
from ouvidor.nlp.touchpoints import Named
from ouvidor.nlp.training.tune import StateError, saved
from ouvidor.storage.vocabulary import Kind, Sentiment, Topic, Untagged


class Watching:
    """Keeps what it is told."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.said: list[str] = []
        self.steps: dict[str, int] = {}
        self.resumed = 0
        self._stop_after = stop_after

    def say(self, sentence: str) -> None:
        self.said.append(sentence)

    @contextmanager
    def progress(self, what: str, _count: int) -> Iterator[Callable[[int], None]]:
        def step(done: int) -> None:
            if what == "learning" and what not in self.steps:
                self.resumed = done
            self.steps[what] = self.steps.get(what, 0) + done
            if what == "learning" and self.steps[what] == self._stop_after:
                raise KeyboardInterrupt

        yield step


def rows(count: int) -> list[dict[str, object]]:
    """Half of the texts are about the shop's parrot, which no taxonomy knows."""
    praise = ["O papagaio da loja me deu bom dia", "que papagaio simpático na entrada"]
    blame = ["o papagaio bicou meu filho", "Papagaio grita o tempo todo, insuportável"]
    other = ["a conta veio errada", "Entrega rápida, adorei", "produto ok, nada demais"]
    found: list[dict[str, object]] = []
    for n in range(count):
        if n % 2:
            text, mood = (praise, "positive") if n % 4 == 1 else (blame, "negative")
            said, labels = text[n // 4 % 2], ["Papagaio"]
        else:
            said, labels = other[n // 2 % 3], []
            mood = ["negative", "positive", "neutral"][n // 2 % 3]
        found.append(
            {"text": f"{said} {n}", "lang": "pt", "sentiment": mood, "touchpoints": labels}
        )
    return found


def test_rows_become_lessons_and_foreign_labels_touchpoints() -> None:
    first, second, third = of_rows(
        [
            {"text": "chegou tarde", "stars": 1, "topics": ["delivery", "Frete Grátis"]},
            {"text": "bom", "sentiment": "positive", "topics": []},
            {"text": "sei lá", "stars": 3},
        ]
    )
    assert first.sentiment is Sentiment.NEGATIVE
    assert first.topics == {Topic.DELIVERY: True}
    assert first.touchpoints == {"frete_gratis": True}
    assert second.topics == {Topic.DELIVERY: False}
    assert second.touchpoints == {"frete_gratis": False}
    assert (third.sentiment, third.topics, third.touchpoints) == (Sentiment.NEUTRAL, None, None)
    assert key_of("  Ação & Pós-Venda!") == "acao_pos_venda"


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"text": "x", "sentiment": "angry"}, "'sentiment' is 'angry'"),
        ({"text": "x", "topics": "delivery"}, "'topics' is no list of words"),
        ({"text": "x", "stars": 9}, "'stars' is 9"),
        ({"stars": 5}, "'text' is missing"),
    ],
)
def test_a_bad_row_is_named(row: dict[str, object], words: str) -> None:
    with pytest.raises(ClassifyError, match=f"object 2: {words}"):
        of_rows([{"text": "good", "stars": 4}, row])


@pytest.mark.parametrize(
    ("lessons", "words"),
    [
        ([Lesson(f"t{n}", stars=5, sentiment=Sentiment.POSITIVE) for n in range(3)], "too few"),
        ([Lesson(f"t{n}", stars=5, sentiment=Sentiment.POSITIVE) for n in range(90)], "the same"),
        (
            [
                Lesson(f"t{n}", sentiment=mood)
                for n in range(90)
                for mood in (Sentiment.POSITIVE, Sentiment.NEGATIVE)
            ],
            "contradict each other",
        ),
        ([Lesson(" ", stars=5)] * 90, "too few"),
    ],
)
def test_what_teaches_nothing_is_refused(lessons: list[Lesson], words: str) -> None:
    with pytest.raises(LessonsError, match=words):
        course(lessons, most=5000)


def test_a_course_is_the_same_every_time_and_keeps_some_apart() -> None:
    lessons = of_rows(rows(120))
    plan = course(lessons, most=100)
    again = course(list(lessons), most=100)
    assert plan.fingerprint == again.fingerprint
    assert len(plan.taught) + len(plan.kept) == 100
    assert not {each.text for each in plan.taught} & {each.text for each in plan.kept}
    assert plan.touchpoints == ("papagaio",)
    assert not plan.exclusive


def test_a_persons_word_outdoes_the_stars_of_the_same_text() -> None:
    lessons = [
        *of_rows(rows(60)),
        Lesson("a conta veio errada 0", stars=5, sentiment=Sentiment.POSITIVE),
    ]
    plan = course(lessons, most=5000)
    (same,) = [each for each in (*plan.taught, *plan.kept) if each.text == "a conta veio errada 0"]
    assert same.sentiment is Sentiment.NEGATIVE
    assert plan.contradictory == 0


def test_the_question_that_teaches_most_comes_first() -> None:
    sure = Question(1, (0.98, 0.01, 0.01), 1.1, 1, "a")
    torn = Question(2, (0.34, 0.33, 0.33), 3.0, 3, "a")
    denied = Question(3, (0.97, 0.02, 0.01), 1.1, 5, "b")
    assert worth(torn) > worth(denied) > worth(sure)
    assert ranked([sure, torn, denied]) == [2, 3, 1]


def test_a_sort_that_was_just_asked_about_waits_its_turn() -> None:
    alike = [Question(n, (0.34, 0.33, 0.33), None, None, "a") for n in range(5)]
    other = Question(9, (0.45, 0.35, 0.2), None, None, "b")
    assert ranked([*alike, other]).index(9) == 1


@pytest.mark.slow
def test_no_more_is_learnt_from_a_tie() -> None:
    tagger = Tagger()
    lessons = [Lesson(f"Entrega rápida {n}", sentiment=Sentiment.POSITIVE) for n in range(30)]
    verdict = judge(lessons, tagger, tagger)
    assert not verdict.better
    assert verdict.figures[0].before == verdict.figures[0].after


@pytest.mark.ordeal
def test_what_was_learnt_is_in_force_and_goes_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parrot becomes a touchpoint; stopped in the middle it goes on; undone it is gone."""
    monkeypatch.setattr(adapting, "_TOKENS", 12_000)
    plan = course(of_rows(rows(110)), most=5000)
    folder = tmp_path / "model"

    with pytest.raises(KeyboardInterrupt):
        adapt(plan, folder, Watching(stop_after=4))
    assert not folder.exists()
    going_on = Watching()
    done = adapt(plan, folder, going_on)

    assert going_on.resumed == 4
    assert done.version is not None
    assert "+own." in done.version
    assert done.verdict.better
    assert any("min and" in said for said in going_on.said)
    found = {each.name: (each.before, each.after) for each in done.verdict.figures}
    before, after = found["touchpoints, micro-F1"]
    assert before == 0
    assert after > 0.6

    heads = Heads.load(folder)
    assert heads.base == Heads.load().version
    tagger = Tagger(model=folder, touchpoints=[Named("papagaio")])
    text = "Comprei ontem. O papagaio da entrada é um amor."
    (said,) = tagger.tag([untagged(text)])
    (aspect,) = [each for each in said.aspects if each.touchpoint == "papagaio"]
    assert aspect.span is not None
    assert "papagaio" in text[slice(*aspect.span)]

    assert undo(folder)
    assert not folder.exists()
    assert not undo(folder)


def untagged(text: str) -> Untagged:
    return Untagged(
        id=1,
        source="app",
        kind=Kind.REVIEW,
        title="",
        text=text,
        stars=None,
        language="pt",
        category=None,
        content_hash="",
    )


@pytest.mark.ordeal
def test_labels_that_teach_nothing_true_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sentiments drawn by lot: what comes out is no better, and the shipped weights stay."""
    monkeypatch.setattr(adapting, "_TOKENS", 6_000)
    rng = np.random.default_rng(4)
    moods = list(Sentiment)
    lessons = [
        Lesson(f"pedido {rng.integers(1e6)} chegou, código {n}", sentiment=moods[rng.integers(3)])
        for n in range(120)
    ]
    done = adapt(course(lessons, most=5000), tmp_path / "model", Watching())
    assert done.version is None
    assert [path.name for path in tmp_path.iterdir()] == ["model.lock"]


def test_damaged_own_weights_name_the_way_back(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(MODEL_FOLDER, folder)
    (folder / "heads.safetensors").write_bytes(b"broken")
    with pytest.raises(HeadsError, match="ouvidor adapt --undo"):
        Heads.load(folder)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_words_alone_tell_what_they_were_taught() -> None:
    texts = [f"papagaio verde {n}" for n in range(20)] + [f"conta errada {n}" for n in range(20)]
    targets = np.zeros((40, 3), np.float32)
    targets[:20, 0] = targets[20:, 1] = targets[:20, 2] = 1
    targets[5:15, 2] = np.nan
    found = lexical.learn(texts, targets, [slice(0, 2)])
    scores = found.scores(["um papagaio", "a conta", ""])
    assert scores[0, 0] > scores[0, 1]
    assert scores[1, 1] > scores[1, 0]
    assert scores[0, 2] > 0 > scores[1, 2]
    assert np.isfinite(scores).all()


def test_the_second_opinion_counts_as_much_as_it_helps() -> None:
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 2, 400)
    targets = np.eye(2, dtype=np.float32)[truth]
    helpful = (targets * 4 + rng.normal(0, 1, (400, 2))).astype(np.float32)
    noise = rng.normal(0, 3, (400, 2)).astype(np.float32)
    head = Head(slice(0, 3), ((np.zeros((2, 3), np.float32), np.zeros(2, np.float32)),), 1.0)
    encoder = np.ones((400, 3), np.float32)
    for said, used in ((helpful, True), (noise, False)):
        features = np.hstack([encoder, said])
        both = second.beside(head, features, targets, slice(0, 2), exclusive=True)
        assert bool(both.layers[0][0][:, 3:].any()) is used


def test_one_process_at_a_time_changes_the_weights(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(MODEL_FOLDER, folder)
    plan = course(of_rows(rows(60)), most=5000)
    with FileLock(tmp_path / "model.lock", timeout=0):
        for act in (lambda: undo(folder), lambda: adapt(plan, folder, Watching())):
            with pytest.raises(AdaptError, match="another `ouvidor adapt` is at work on"):
                act()
    assert Heads.load(folder).version == Heads.load().version


@pytest.mark.parametrize("damage", [b"", b"\xff" * 40, b"\x08\0\0\0\0\0\0\0{}      "])
def test_a_damaged_state_is_named_with_its_mend(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "training.safetensors").write_bytes(damage)
    with pytest.raises(StateError, match=r"training\.safetensors is damaged.*remove it"):
        saved(tmp_path)


def test_what_a_killed_change_left_goes_with_undo(tmp_path: Path) -> None:
    for end in ("old", "new"):
        (tmp_path / f"model.{end}").mkdir()
    assert undo(tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []
