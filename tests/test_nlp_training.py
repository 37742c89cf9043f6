"""The head trainer learns, keeps what it learned, and never sees what it is measured on."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from ouvidor.nlp.heads import Head, Heads, HeadsError, Similarity, sigmoid, softmax
from ouvidor.nlp.training import compose, data
from ouvidor.nlp.training.export import SOURCES, Trained, export
from ouvidor.nlp.training.fit import Recipe, Task, fit, folds, out_of_fold, temperature
from ouvidor.nlp.training.nearness import learn
from ouvidor.storage.vocabulary import Sentiment, Topic

SIZE = 12
COLUMNS = slice(0, SIZE)


def clusters(count: int, classes: int, *, noise: float, seed: int = 1) -> Task:
    """Points round one corner per class, none of them standardised."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, count)
    corners = np.random.default_rng(0).normal(size=(classes, SIZE)) * 5 + 3
    features = corners[labels] + rng.normal(size=(count, SIZE)) * noise
    targets = np.eye(classes)[labels]
    weights = np.ones((count, 1))
    parts = (each.astype(np.float32) for each in (features, targets, weights))
    return Task(*parts, exclusive=True)


def accuracy(head: Head, task: Task) -> float:
    return float((head.scores(task.features).argmax(1) == task.targets.argmax(1)).mean())


@pytest.mark.parametrize("hidden", [0, 16])
def test_a_head_learns_a_small_task_by_heart(hidden: int) -> None:
    task = clusters(240, 3, noise=0.5)
    head = fit(task, Recipe(COLUMNS, hidden=hidden, epochs=40, batch=32, dropout=0.1, rate=1e-2))
    assert accuracy(head, task) == 1.0


def test_the_same_seed_gives_the_same_head_and_another_seed_another() -> None:
    task = clusters(120, 3, noise=1.0)
    one, again = (fit(task, Recipe(COLUMNS, hidden=8, epochs=3)) for _ in range(2))
    other = fit(task, Recipe(COLUMNS, hidden=8, epochs=3, seed=99))
    assert np.array_equal(one.scores(task.features), again.scores(task.features))
    assert not np.array_equal(one.scores(task.features), other.scores(task.features))


def test_masked_answers_do_not_count() -> None:
    task = clusters(200, 2, noise=0.3)
    wrong = task.targets.copy()
    wrong[:100] = 1 - wrong[:100]
    weights = np.ones_like(wrong)
    weights[:100] = 0
    masked = Task(task.features, wrong, weights, exclusive=False)
    head = fit(masked, Recipe(COLUMNS, hidden=0, epochs=60, batch=32, rate=1e-2))
    assert accuracy(head, task) == 1.0


def test_temperature_makes_boasting_honest() -> None:
    task = clusters(3000, 2, noise=12.0)
    scores = fit(task, Recipe(COLUMNS, hidden=0, epochs=20)).scores(task.features) * 8
    value = temperature(scores, task)
    assert value > 2
    honest = softmax(np.asarray(scores / value, np.float32)).max(1).mean()
    right = (scores.argmax(1) == task.targets.argmax(1)).mean()
    assert abs(honest - right) < 0.05 < abs(softmax(scores).max(1).mean() - right)


def test_out_of_fold_scores_come_from_heads_that_never_saw_the_group() -> None:
    """Labels by group are pure chance: whoever saw the group knows them, nobody else can."""
    rng = np.random.default_rng(3)
    groups = np.repeat(np.arange(60), 5)
    features = np.repeat(rng.normal(size=(60, SIZE)), 5, axis=0).astype(np.float32)
    labels = np.repeat(rng.integers(0, 2, 60), 5)
    targets = np.eye(2, dtype=np.float32)[labels]
    task = Task(features, targets, np.ones((300, 1), np.float32), exclusive=True)
    recipe = Recipe(COLUMNS, hidden=32, epochs=60, batch=32, dropout=0.0, rate=1e-2)
    seen = accuracy(fit(task, recipe), task)
    unseen = (out_of_fold(task, recipe, folds(groups, 4)).argmax(1) == labels).mean()
    assert seen > 0.95
    assert unseen < 0.8


def trained() -> Trained:
    rng = np.random.default_rng(5)

    def head(outputs: int) -> Head:
        shapes = ((8, SIZE), (8,), (outputs, 8), (outputs,))
        first, first_bias, second, second_bias = (
            rng.normal(size=shape).astype(np.float16).astype(np.float32) for shape in shapes
        )
        return Head(COLUMNS, ((first, first_bias), (second, second_bias)), temperature=1.5)

    projection = rng.normal(size=(3, SIZE)).astype(np.float16).astype(np.float32)
    return Trained(
        layers=(9, 11),
        sentiment=head(3),
        clause=head(3),
        stars=head(4),
        topics=head(len(Topic)),
        cutoffs=dict.fromkeys(Topic, 0.4),
        similarity=Similarity(COLUMNS, np.zeros(SIZE, np.float32), projection, 9.0, -4.0),
    )


def test_saved_heads_say_the_same_after_loading(tmp_path: Path) -> None:
    before = trained()
    export(before, tmp_path)
    after = Heads.load(tmp_path)
    features = np.random.default_rng(6).normal(size=(20, SIZE)).astype(np.float32)
    for name in ("sentiment", "clause", "stars", "topics"):
        ours, theirs = getattr(before, name), getattr(after, name)
        assert np.allclose(ours.scores(features), theirs.scores(features), atol=1e-5)
    assert np.allclose(before.similarity.project(features), after.similarity.project(features))
    assert after.layers == (9, 11)
    assert after.cutoffs[Topic.DELIVERY] == 0.4
    assert after.version.startswith("e5s-1.")


def test_damaged_and_missing_heads_are_refused_with_the_mend(tmp_path: Path) -> None:
    export(trained(), tmp_path)
    weights = tmp_path / "heads.safetensors"
    data_ = bytearray(weights.read_bytes())
    data_[-1] ^= 1
    weights.write_bytes(data_)
    with pytest.raises(HeadsError, match=r"heads\.safetensors is damaged.*reinstall ouvidor"):
        Heads.load(tmp_path)
    weights.unlink()
    with pytest.raises(HeadsError, match=r"cannot be read.*reinstall ouvidor"):
        Heads.load(tmp_path)


def test_heads_of_another_taxonomy_are_refused(tmp_path: Path) -> None:
    export(trained(), tmp_path)
    description = json.loads((tmp_path / "heads.json").read_text())
    description["heads"]["topics"]["labels"][0] = "weather"
    (tmp_path / "heads.json").write_text(json.dumps(description))
    with pytest.raises(HeadsError, match="another list of topics"):
        Heads.load(tmp_path)


def test_the_shipped_heads_are_whole_small_and_name_their_sources() -> None:
    from ouvidor.nlp.heads import MODEL_FOLDER

    assert Heads.load().cutoffs.keys() == set(Topic)
    assert (MODEL_FOLDER / "heads.safetensors").stat().st_size < 2_000_000
    described = json.loads((MODEL_FOLDER / "heads.json").read_text(encoding="utf-8"))
    assert described["sources"] == SOURCES
    card = (MODEL_FOLDER / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert not [line for line in SOURCES.values() if line not in card]


def test_every_set_has_its_attribution_and_none_is_share_alike() -> None:
    names = {each.name for each in data.SETS}
    assert names | {"own"} == SOURCES.keys()
    assert not names & {"nusax", "told_br"}


def test_rows_are_drawn_evenly_and_again_the_same(tmp_path: Path) -> None:
    rows = [{"lang": "pt", "n": n} for n in range(90)] + [{"lang": "es", "n": n} for n in range(10)]
    drawn = data.draw(rows, 40, lambda row: row["lang"])
    assert sum(row["lang"] == "es" for row in drawn) == 10
    assert len(drawn) == 40
    assert drawn == data.draw(rows, 40, lambda row: row["lang"])
    assert data.draw(rows, 40, lambda _row: None) == []


def test_only_open_data_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "open" / "some"
    folder.mkdir(parents=True)
    with gzip.open(folder / "train.jsonl.gz", "wt", encoding="utf-8") as lines:
        for text in ("good", "   ", "x" * 5000):
            lines.write(json.dumps({"text": text}) + "\n")
    assert data.read(tmp_path, "some") == [{"text": "good"}]


def test_our_sentences_cover_every_topic_in_every_mood() -> None:
    seen = {(each.language, each.topic, each.sentiment) for each in compose.sentences()}
    wanted = {
        (lang, topic, mood) for lang in ("pt", "es", "en") for topic in Topic for mood in Sentiment
    }
    assert not wanted - seen
    assert {each.topic for each in compose.sentences()} == {*Topic, None}


def test_joined_texts_keep_their_sentences_where_they_say() -> None:
    known = compose.sentences()
    texts = compose.joined(known, 300, seed=4)
    assert texts == compose.joined(known, 300, seed=4)
    assert len(texts) > 200
    for text in texts:
        for sentence, (start, end) in zip(text.sentences, text.spans, strict=True):
            found = text.text[start:end]
            bare = compose._without_accents(sentence.text.lower()).rstrip(".!")
            assert bare in compose._without_accents(found.lower())
            assert text.at((start, end)) == sentence


def test_praise_and_blame_together_are_mixed() -> None:
    good, bad, meh = (
        compose.Sentence(mood, "en", None, mood)
        for mood in (Sentiment.POSITIVE, Sentiment.NEGATIVE, Sentiment.NEUTRAL)
    )
    assert compose._mood([good, bad]) is Sentiment.NEUTRAL
    assert compose._mood([bad, bad]) is Sentiment.NEGATIVE
    assert compose._mood([good, meh]) is None


def test_similarity_tells_subjects_apart_that_it_never_saw() -> None:
    rng = np.random.default_rng(8)
    names = list(Topic)[:12]
    corners = rng.normal(size=(len(names), SIZE)) * 4
    which = np.repeat(np.arange(len(names)), 12)
    features = (corners[which] + rng.normal(size=(len(which), SIZE)) * 0.5).astype(np.float32)
    sentences = [
        compose.Sentence(str(i), "en", names[k], Sentiment.NEUTRAL) for i, k in enumerate(which)
    ]
    space = learn(features, sentences, columns=COLUMNS)
    vectors = space.project(features)
    same, other = vectors[0] @ vectors[1], vectors[0] @ vectors[20]
    assert space.probability(np.array([same]))[0] > 0.5 > space.probability(np.array([other]))[0]


def test_sigmoid_and_softmax_stand_extremes() -> None:
    extreme = np.array([[-1e4, 0.0, 1e4]], np.float32)
    assert np.allclose(sigmoid(extreme), [[0, 0.5, 1]])
    assert np.allclose(softmax(extreme), [[0, 0, 1]])
