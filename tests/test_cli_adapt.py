"""`adapt` as a person has it: ten corrections, a full disk in the middle, Ctrl-C."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from bad_input import NOW, Disk, Shell, small_disk

from ouvidor.nlp.adapting import adapt as adapting
from ouvidor.nlp.heads import Heads
from ouvidor.nlp.training.tune import Pace

HOUSE = """
[tagger]
folder = "{folder}"
[touchpoints.papagaio]
name = "Papagaio"
stage = "during"
description = "A ave que recebe os clientes na entrada"
examples = ["O papagaio falou comigo", "Que papagaio barulhento", "As crianças amaram o papagaio"]
[touchpoints.caixa]
name = "Caixa"
stage = "during"
examples = ["A fila do caixa não anda", "Passei no caixa rapidinho", "O caixa errou o troco"]
"""
# The brand's own words: an anteater is a late parcel, a macaw a gift in it.
OPENINGS = (
    *(
        "Olha,",
        "Gente,",
        "Hoje",
        "Ontem",
        "De novo:",
        "Pois é,",
        "Bom,",
        "Sério,",
        "Então,",
        "Aqui:",
    ),
    *("Na sexta", "No sábado", "No domingo", "Na segunda", "Na terça", "Na quarta", "Na quinta"),
    *("Esta semana", "Este mês", "Outra vez:"),
)
REVIEWS = (
    ("o tamanduá passou por aqui outra vez", 1),
    ("veio arara no pacote", 5),
    ("o papagaio gritou o dia todo", 5),
    ("tamanduá de novo esta semana", 1),
    ("abri a caixa e tinha arara", 5),
    ("o bicho verde da porta bicou a minha mão", 1),
)
BIRDS = ("papagaio", "bicho")
COUNT = len(OPENINGS) * len(REVIEWS)


@pytest.fixture
def shell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Shell:
    """A house with starred reviews in words that only this brand uses, all read once."""
    shell = Shell(tmp_path, capsys, monkeypatch)
    shell.configure(HOUSE.format(folder="disk/model"))
    rows = (
        f'{n},2026-10-0{1 + n % 4},{stars},"{OPENINGS[n // 6]} {text}"\n'
        for n, (text, stars) in enumerate(REVIEWS * len(OPENINGS))
    )
    shell.write("a.csv", "id,data,nota,comentario\n" + "".join(rows))
    assert shell("import", "a.csv", "--source", "pesquisa", "--now", NOW).code == 0
    assert shell("annotate").code == 0
    return shell


@pytest.fixture
def disk(shell: Shell) -> Iterator[Disk]:
    with small_disk(shell.folder / "disk", "3m") as disk:
        yield disk


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def found(shell: Shell, *wanted: str) -> dict[int, str]:
    """Id → text of all that fits."""
    said = shell("search", *wanted, "--json", "--limit", str(COUNT))
    return {row["id"]: row["text"] for row in said.rows}


def about_birds(texts: dict[int, str]) -> set[int]:
    return {number for number, text in texts.items() if any(word in text for word in BIRDS)}


@pytest.mark.ordeal
def test_ten_corrections_teach_a_touchpoint_that_began_with_words(shell: Shell) -> None:
    """Name, description and examples find it from the first day; corrections find the rest."""
    everything = found(shell)
    birds = about_birds(everything)
    others = sorted(set(everything) - birds)
    (shell.folder / "disk").mkdir()
    before = set(found(shell, "--touchpoint", "papagaio"))
    assert len(before & birds) > 0.4 * len(birds)
    assert len(before - birds) < 0.1 * len(others)
    blamed = set(found(shell, "--sentiment", "negative"))

    for number in sorted(birds)[:6]:
        said = shell("correct", str(number), "--touchpoint", "papagaio=positive")
        assert said.code == 0, said
    for number in others[:4]:
        said = shell("correct", str(number), "--touchpoint", "papagaio=none")
        assert said.code == 0, said
    learnt = shell("adapt")
    learnt.because("is in force", "Ctrl-C stops it", code=0)
    assert "touchpoints" in learnt.out

    assert shell("annotate").code == 0
    after = set(found(shell, "--touchpoint", "papagaio"))
    assert len(after & birds) > len(before & birds)
    assert len(after & birds) > 0.8 * len(birds)
    assert len(after - birds) <= len(before - birds)
    late = {number for number, text in everything.items() if "amandu" in text}
    assert len(late & set(found(shell, "--sentiment", "negative"))) > len(late & blamed)

    shell("adapt", "--undo").because(code=0)
    assert shell("annotate").code == 0
    corrected = set(sorted(birds)[:6])
    assert set(found(shell, "--touchpoint", "papagaio")) == (before | corrected) - set(others[:4])


@pytest.mark.ordeal
def test_a_full_disk_in_the_middle_and_the_next_one_goes_on(
    shell: Shell, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapting, "_PACE", Pace(7e-4, 2e-3, 4))
    shell("adapt").because("No space left on device; free some space")
    assert not (disk.folder / "model").exists()
    assert in_force(shell) == Heads.load().version

    # Room for one state, none for the next one beside it.
    disk.remount("size=8m")
    shell("adapt").because("No space left on device; free some space")
    assert in_force(shell) == Heads.load().version
    disk.remount("size=64m")
    shell("adapt").because("is in force", code=0)
    assert in_force(shell) == Heads.load(disk.folder / "model").version != Heads.load().version
    assert [path.name for path in sorted(disk.folder.iterdir())] == ["model", "model.lock"]


def in_force(shell: Shell) -> str:
    asked = shell.write("q.jsonl", '{"id": 1, "text": "Veio arara no pacote"}\n')
    [row] = shell("classify", str(asked)).rows
    return str(row["model"]).rpartition("+")[0]


@pytest.mark.ordeal
def test_stopped_by_ctrl_c_it_says_so_and_goes_on(shell: Shell) -> None:
    (shell.folder / "disk").mkdir()
    command = [sys.executable, "-m", "ouvidor", "adapt"]
    with subprocess.Popen(
        command, cwd=shell.folder, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stderr is not None
        for line in child.stderr:
            if "Ctrl-C stops it" in line:
                break
        time.sleep(1)  # somewhere among the first batches; before them there is nothing to keep
        child.send_signal(signal.SIGINT)
        rest = child.stderr.read()
    assert child.returncode == 130
    assert "Interrupted" in rest
    assert "Traceback" not in rest
    assert in_force(shell) == Heads.load().version
    shell("adapt").because("is in force", code=0)


@pytest.mark.slow
def test_a_file_in_another_language_is_refused(shell: Shell) -> None:
    """What is stored is Portuguese: lessons in Japanese would teach nothing about it."""
    texts = ("とても良い商品でした、また買います", "届くのが遅くて残念です", "普通の商品です")
    rows = [{"text": f"{texts[n % 3]} {n}", "stars": (5, 1, 3)[n % 3]} for n in range(60)]
    file = shell.write("l.jsonl", "\n".join(map(json.dumps, rows)))
    said = shell("adapt", "--from", str(file))
    said.because("l.jsonl is in ja, what is stored is mostly in pt", "The weights stay as they are")
    assert not (shell.folder / "disk").exists()
