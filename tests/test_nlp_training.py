"""The head trainer learns, keeps what it learned, and never sees what it is measured on."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from ouvidor.nlp.encoder import prepare
from ouvidor.nlp.features import Encoder
from ouvidor.nlp.heads import Head, Heads, HeadsError, Similarity, sigmoid, softmax
from ouvidor.nlp.training import apart, data, examples, network, phrases, tune
from ouvidor.nlp.training.calibrate import calibrated, cutoffs, doubt, leaning, warmths
from ouvidor.nlp.training.export import SOURCES, VERSION, Trained, export
from ouvidor.nlp.training.nearness import learn
from ouvidor.storage.vocabulary import Sentiment, Topic

SIZE = 12
COLUMNS = slice(0, SIZE)


def test_temperature_makes_boasting_honest() -> None:
    """Boasted scores of a task where even the best guess is often wrong."""
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 2, 3000)
    features = np.zeros((3000, SIZE), np.float32)
    features[:, 0] = (labels * 2 - 1) + rng.normal(size=3000)
    weight = np.zeros((2, SIZE), np.float32)
    weight[:, 0] = (-8, 8)
    boasting = Head(COLUMNS, ((weight, np.zeros(2, np.float32)),), 1.0)
    targets = np.eye(2, dtype=np.float32)[labels]

    honest = calibrated(boasting, features, targets, exclusive=True)

    right = (boasting.scores(features).argmax(1) == labels).mean()
    assert abs(softmax(honest.scores(features)).max(1).mean() - right) < 0.03
    assert softmax(boasting.scores(features)).max(1).mean() - right > 0.08


def test_too_much_neutral_in_what_was_learnt_is_taken_back() -> None:
    """Learnt where half was neutral, read where a tenth is: the share and the boasting go."""
    rng = np.random.default_rng(3)
    labels = rng.choice(3, 6000, p=(0.5, 0.1, 0.4))
    features = np.zeros((6000, SIZE), np.float32)
    features[:, :3] = np.eye(3)[labels] * 1.5 + rng.normal(size=(6000, 3))
    weight = np.zeros((3, SIZE), np.float32)
    weight[:, :3] = 2 * 1.5 * np.eye(3)
    bias = 2 * np.log(np.array([0.25, 0.5, 0.25], np.float32))
    learnt = Head(COLUMNS, ((weight, bias),), 1.0)

    found = leaning(learnt, features, np.eye(3, dtype=np.float32)[labels])

    assert abs(found.temperature - 2) < 0.1
    said = softmax(found.scores(features))
    assert abs(said[:, 1].mean() - 0.1) < 0.01
    assert (said.argmax(1) == labels).mean() > (learnt.scores(features).argmax(1) == labels).mean()


def test_a_cutoff_lies_where_it_serves_best() -> None:
    probabilities = np.tile(np.linspace(0.01, 0.99, 99)[:, None], len(Topic)).astype(np.float32)
    targets = (probabilities > 0.6).astype(np.float32)
    found = cutoffs(probabilities, targets)
    assert len(found) == len(Topic)
    assert all(abs(each - 0.6) < 0.03 for each in found)


def test_each_column_has_a_cutoff_half_way_to_its_own_best() -> None:
    """One that few texts are about has that of all."""
    likely = np.tile(np.linspace(0.0, 1.0, 401, dtype=np.float32)[:, None], 3)
    truth = likely > np.array([0.3, 0.7, 0.95], np.float32)
    early, late, rare = cutoffs(likely, truth.astype(np.float32), least=30)
    assert 0.3 < rare < 0.7
    assert early == pytest.approx((0.3 + rare) / 2, abs=0.03)
    assert late == pytest.approx((0.7 + rare) / 2, abs=0.03)


def handful(folder: Path) -> tuple[list[phrases.Phrase], list[network.Encoded]]:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    chosen = [phrase for phrase in phrases.phrases("pt") if len(phrase.text) < 60][:300:25]
    known = [examples.of_phrase(phrase) for phrase in chosen]
    return chosen, list(network.encoded(tokenizer, known))


def test_doubt_begins_where_the_rest_is_right_often_enough() -> None:
    sure = np.linspace(0.4, 1, 1000, dtype=np.float32)
    rng = np.random.default_rng(2)
    right = rng.random(1000) < sure
    probabilities = np.stack([sure, 1 - sure], axis=1)
    targets = np.stack([right, ~right], axis=1).astype(np.float32)
    cut = doubt(probabilities, targets, 0.9)
    kept = sure >= cut
    assert 0.7 < cut < 0.95
    assert right[kept].mean() == pytest.approx(0.9, abs=0.01)
    assert doubt(probabilities, targets, 0.2) == 0.5
    assert doubt(probabilities, 1 - targets, 0.99) >= 0.99


def test_a_group_of_languages_has_its_own_warmth() -> None:
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 3, 900)
    scores = rng.normal(0, 1, (900, 3)).astype(np.float32)
    scores[np.arange(900), truth] += 1
    groups = ["romance"] * 400 + ["germanic"] * 400 + ["other"] * 100
    scores[400:800] *= 3
    targets = np.eye(3, dtype=np.float32)[truth]
    found = warmths(scores, targets, groups)
    assert set(found) == {"romance", "germanic"}
    assert found["germanic"] > 2 * found["romance"]


def test_a_set_on_which_the_head_boasts_warms_its_group_half_way() -> None:
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 3, 600)
    scores = rng.normal(0, 1, (600, 3)).astype(np.float32)
    scores[np.arange(600), truth] += 1
    scores[400:] *= 4
    targets, groups = np.eye(3, dtype=np.float32)[truth], ["romance"] * 600
    sets = ["shop"] * 400 + ["posts"] * 200
    together = warmths(scores, targets, groups)["romance"]
    alone = warmths(scores[400:], targets[400:], groups[400:])["romance"]
    found = warmths(scores, targets, groups, sets)["romance"]
    assert together < found < alone
    assert found == pytest.approx((together * alone) ** 0.5, abs=0.01)


@pytest.mark.slow
def test_the_network_learns_a_handful_by_heart_and_its_adapter_says_the_same() -> None:
    """Tuned, taken out, merged into a fresh encoder: the same scores."""
    torch.manual_seed(3)
    folder = prepare()
    chosen, rows = handful(folder)
    net = network.Network()
    losses = tune.learn(net, [rows] * 30).losses
    assert losses[-1] < losses[0] / 2

    learnt = net.learnt()
    encoder = Encoder(layers=(network.LAYERS,), adapter=learnt.adapter)
    readings = encoder.read([phrase.text for phrase in chosen])
    features = np.stack([reading.whole for reading in readings])
    head = Head(slice(0, 384), (learnt.heads["sentiment"],), 1.0)
    moods = [list(Sentiment)[k] for k in head.scores(features).argmax(1)]
    assert moods == [phrase.sentiment for phrase in chosen]


@pytest.mark.ordeal
def test_a_training_that_was_stopped_goes_on_where_it_was(
    tmp_path: Path,
) -> None:
    """Killed after its first saved state and called again: the losses of an undisturbed one."""
    folder = prepare()
    _, rows = handful(folder)

    def learnt(batches: list[list[network.Encoded]], state: Path) -> list[float]:
        torch.manual_seed(3)
        return tune.learn(
            network.Network(), batches, [rows], state=state, pace=tune.Pace(save_every=2)
        ).losses

    class KilledError(Exception):
        pass

    class Dying(list):
        def __getitem__(self, step: int) -> list[network.Encoded]:
            if step == 3:
                raise KilledError
            return super().__getitem__(step)

    batches = [rows] * 6
    undisturbed = learnt(batches, tmp_path / "undisturbed")
    with pytest.raises(KilledError):
        learnt(Dying(batches), tmp_path / "killed")
    assert learnt(batches, tmp_path / "killed") == pytest.approx(undisturbed, rel=1e-4)


def test_a_clause_of_a_whole_review_has_every_aspect_that_lies_in_it() -> None:
    row: phrases.Row = {
        "text": "Entrega rápida e embalagem boa. Comprei na terça. Mas quebrou.",
        "lang": "pt",
        "sentiment": "negative",
        "stars": 2,
        "topics": ["delivery", "packaging_condition", "product_quality"],
        "aspects": [
            {"topic": "delivery", "sentiment": "positive", "span": [0, 14]},
            {"topic": "packaging_condition", "sentiment": "positive", "span": [17, 30]},
            {"topic": "product_quality", "sentiment": "negative", "span": [50, 61]},
        ],
    }
    clauses = examples.of_whole(row).clauses
    named = [
        {topic for topic, yes in zip(Topic, clause.topics, strict=True) if yes}
        for clause in clauses
        if clause.topics is not None
    ]
    assert {Topic.DELIVERY, Topic.PACKAGING_CONDITION} == set().union(*named[:-2])
    assert named[-2:] == [set(), {Topic.PRODUCT_QUALITY}]


def test_each_clause_of_a_composed_text_has_the_labels_of_its_phrase() -> None:
    row: phrases.Row = {
        "text": "entrega rápida, mas o produto veio quebrado",
        "lang": "pt",
        "sentiment": None,
        "stars": None,
        "topics": ["delivery", "product_quality"],
        "aspects": [
            {"topic": "delivery", "sentiment": "positive", "span": [0, 14]},
            {"topic": "product_quality", "sentiment": "negative", "span": [20, 43]},
        ],
    }
    example = examples.of_composed(row)
    assert example.sentiment == examples.UNKNOWN
    assert [clause.sentiment for clause in example.clauses] == [2, 0]
    topics = [clause.topics for clause in example.clauses if clause.topics is not None]
    assert [list(Topic)[t.argmax()] for t in topics] == [Topic.DELIVERY, Topic.PRODUCT_QUALITY]


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
        warmths={"romance": 1.1},
        uncertain=0.6,
        similarity=Similarity(COLUMNS, np.zeros(SIZE, np.float32), projection, 9.0, -4.0),
        adapter={"layer.4.output.dense.a": np.ones((2, 3), np.float32)},
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
    assert (after.uncertain, after.warmths) == (0.6, {"romance": 1.1})
    assert after.version.startswith(f"{VERSION}.")
    assert list(after.adapter) == ["layer.4.output.dense.a"]


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


def test_a_changed_cutoff_is_found(tmp_path: Path) -> None:
    export(trained(), tmp_path)
    description = json.loads((tmp_path / "heads.json").read_text())
    description["uncertain"] += 0.01
    (tmp_path / "heads.json").write_text(json.dumps(description))
    with pytest.raises(HeadsError, match=r"heads\.json was changed.*reinstall ouvidor"):
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
    assert (MODEL_FOLDER / "heads.safetensors").stat().st_size < 4_000_000
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
    seen = {(each.language, each.topic, each.sentiment) for each in apart.sentences()}
    wanted = {
        (lang, topic, mood) for lang in ("pt", "es", "en") for topic in Topic for mood in Sentiment
    }
    assert not wanted - seen
    assert {each.topic for each in apart.sentences()} == {*Topic, None}


def test_similarity_tells_subjects_apart_that_it_never_saw() -> None:
    rng = np.random.default_rng(8)
    names = list(Topic)[:12]
    corners = rng.normal(size=(len(names), SIZE)) * 4
    which = np.repeat(np.arange(len(names)), 12)
    features = (corners[which] + rng.normal(size=(len(which), SIZE)) * 0.5).astype(np.float32)
    sentences = [
        apart.Sentence(str(i), "en", names[k], Sentiment.NEUTRAL) for i, k in enumerate(which)
    ]
    space = learn(features, sentences, columns=COLUMNS)
    vectors = space.project(features)
    same, other = vectors[0] @ vectors[1], vectors[0] @ vectors[20]
    assert space.probability(np.array([same]))[0] > 0.5 > space.probability(np.array([other]))[0]


def test_sigmoid_and_softmax_stand_extremes() -> None:
    extreme = np.array([[-1e4, 0.0, 1e4]], np.float32)
    assert np.allclose(sigmoid(extreme), [[0, 0.5, 1]])
    assert np.allclose(softmax(extreme), [[0, 0, 1]])


def test_between_two_trainings() -> None:
    def of(value: float) -> network.Tuned:
        row = np.full(2, value, np.float32)
        return network.Tuned({"layer": row}, {"stars": (row[None], row)})

    for share, value in ((0.0, 1.0), (0.25, 2.0), (1.0, 5.0)):
        found = tune.between(of(1.0), of(5.0), share)
        weight, bias = found.heads["stars"]
        assert {*found.adapter["layer"], *weight[0], *bias} == {value}
