"""The engines side by side: ``python benchmarks/engines.py [--corpus DIR]``; prints a table.

Every engine lives in a process of its own, so that its peak memory is its own, and the processes
take turns, so that whatever else the machine does slows all alike. ``pipeline`` is
``transformers.pipeline`` with the same weights in 32 bits, 32 texts at once in the order in which
they come: what most people would write. ``peak`` multiplies the encoder's own matrices of 8-bit
integers and does nothing else. ``DIR/data/eval`` gives real reviews; without it, our own.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

ENGINES = ("pipeline", "torch", "onnx")
PEAK = "peak"
ROUNDS = 5
TEXTS = 320
SETS = (("b2w", "pt"), ("marc", "en"), ("marc", "es"), ("marc", "de"))
PER_TOKEN = 2 * 12 * (4 * 384**2 + 2 * 384 * 1536)
"""Operations of the linear layers for one token."""
_PEAK_TOKENS, _PEAK_LAYERS = 512, 12


def main() -> None:
    """Print the table, or be one of the processes that it compares."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--corpus", type=Path, help="the folder that holds data/eval")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--texts", type=int, default=TEXTS)
    parser.add_argument("--child", choices=[*ENGINES, PEAK], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        # The texts come from outside: what it takes to find them is no engine's memory.
        serve(load(options.child, json.loads(sys.stdin.readline()), options.threads))
    else:
        compare(options, list(texts(options.corpus, options.texts)))


def texts(corpus: Path | None, count: int) -> Iterator[str]:
    """Reviews in the order in which they come: no order."""
    from ouvidor.nlp.training import data, phrases

    if corpus is None:
        found = [row["text"] for lang in phrases.GOLD_LANGUAGES for row in phrases.gold(lang)]
    else:
        found = [
            row["text"]
            for name, language in SETS
            for row in data.read(corpus, name, "dev", "eval")
            if row["lang"][:2] == language
        ]
    random.Random(7).shuffle(found)  # noqa: S311 - a repeatable draw, no secret
    yield from found[:count]


# --- one process ----------------------------------------------------------------------------


def serve(run: Callable[[], None]) -> None:
    """Run once per line of input, and write how long it took and the peak memory so far."""
    run()
    print("ready", flush=True)
    for _ in sys.stdin:
        began, worked = time.perf_counter(), time.process_time()
        run()
        seconds, worked = time.perf_counter() - began, time.process_time() - worked
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"seconds": seconds, "worked": worked, "megabytes": peak}), flush=True)


def load(name: str, chosen: list[str], threads: int) -> Callable[[], None]:
    """What one round of this engine does."""
    if name == PEAK:
        return matrices(threads)
    if name == "pipeline":
        return pipeline(chosen, threads)
    from ouvidor.nlp.features import Encoder
    from ouvidor.nlp.heads import Heads

    heads = Heads.load()
    encoder = Encoder(layers=heads.layers, adapter=heads.adapter, threads=threads, engine=name)

    def run() -> None:
        # As many at once as the tagger reads.
        for at in range(0, len(chosen), 256):
            encoder.read(chosen[at : at + 256])

    return run


def pipeline(chosen: list[str], threads: int) -> Callable[[], None]:
    """The same encoder under a fresh classifier (which of its labels wins does not matter here)."""
    import torch
    import transformers

    from ouvidor.nlp.encoder import prepare
    from ouvidor.nlp.heads import Heads
    from ouvidor.nlp.reference import load_model

    torch.set_num_threads(threads)
    folder = prepare()
    transformers.logging.set_verbosity_error()
    heads = Heads.load()
    tuned = load_model(folder, depth=max(heads.layers), adapter=heads.adapter)
    config = transformers.AutoConfig.from_pretrained(folder, num_labels=3)
    model = transformers.BertForSequenceClassification(config).float()
    state = {name: tensor.float() for name, tensor in tuned.state_dict().items()}
    model.bert.load_state_dict(state, strict=False)
    del tuned, state
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    classify = transformers.pipeline("text-classification", model=model.eval(), tokenizer=tokenizer)

    def run() -> None:
        classify(chosen, batch_size=32, truncation=True, max_length=512)

    return run


def matrices(threads: int) -> Callable[[], None]:
    """The products of twelve layers for 512 tokens, 8-bit, and nothing between them."""
    import numpy as np

    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(1)
    nodes, constants, outputs = [], [], []
    shapes = [(384, 384)] * 4 + [(384, 1536), (1536, 384)]
    for number, (wide, out) in enumerate(shapes * _PEAK_LAYERS):
        weight = rng.integers(-127, 128, (wide, out), dtype=np.int8)
        constants.append(numpy_helper.from_array(weight, f"w{number}"))
        inputs = [f"x{wide}", f"w{number}", "zero"]
        nodes.append(helper.make_node("MatMulInteger", inputs, [f"y{number}"]))
        outputs.append(helper.make_tensor_value_info(f"y{number}", TensorProto.INT32, None))
    constants.append(numpy_helper.from_array(np.array(128, np.uint8), "zero"))
    known = [
        helper.make_tensor_value_info(f"x{wide}", TensorProto.UINT8, [None, wide])
        for wide in (384, 1536)
    ]
    model = helper.make_model(
        helper.make_graph(nodes, "peak", known, outputs, constants),
        opset_imports=[helper.make_opsetid("", 21)],
        ir_version=10,
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    feed = {
        f"x{wide}": rng.integers(0, 256, (_PEAK_TOKENS, wide), dtype=np.uint8)
        for wide in (384, 1536)
    }
    # One output, so that nothing is copied out; the others are made all the same.
    return lambda: [session.run(["y0"], feed) for _ in range(10)] and None


# --- the table ------------------------------------------------------------------------------


def compare(options: argparse.Namespace, chosen: list[str]) -> None:
    """Let the processes take turns, then print what each needed."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in (*ENGINES, PEAK)}
    with ExitStack() as stack:
        children = {name: stack.enter_context(child(name)) for name in found}
        for each in children.values():
            tell(each, json.dumps(chosen))
            each.stdout.readline()
        for _ in range(options.rounds):
            for name, each in children.items():
                tell(each, "go")
                found[name].append(json.loads(each.stdout.readline()))
        for each in children.values():
            each.stdin.close()
    tokens = count_tokens(chosen)
    seconds = {name: statistics.median(r["seconds"] for r in rows) for name, rows in found.items()}
    peak = 10 * _PEAK_TOKENS * PER_TOKEN / seconds[PEAK]
    print(f"{len(chosen)} texts, {tokens / len(chosen):.0f} tokens each, {options.threads} threads")
    print(f"matrices of 8-bit integers alone: {peak / 1e9:.0f} Gop/s")
    # On a busy machine the processors' time says more than the clock; with one thread it is fair.
    work = {name: statistics.median(r["worked"] for r in rows) for name, rows in found.items()}
    print(
        "| engine | texts/s | × pipeline | × pipeline, processor time | peak memory MB "
        "| share of the matrices' peak, processor time |"
    )
    print("|---|---|---|---|---|---|")
    for name in ENGINES:
        print(
            f"| {name} | {len(chosen) / seconds[name]:.1f} "
            f"| {seconds['pipeline'] / seconds[name]:.1f} "
            f"| {work['pipeline'] / work[name]:.1f} "
            f"| {max(row['megabytes'] for row in found[name]):.0f} "
            f"| {tokens * work[PEAK] / work[name] / (10 * _PEAK_TOKENS):.0%} |"
        )


def child(name: str) -> subprocess.Popen[str]:
    """This script as one engine."""
    command: list[Any] = [sys.executable, __file__, *sys.argv[1:], "--child", name]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def tell(process: subprocess.Popen[str], line: str) -> None:
    """Write one line to a child."""
    process.stdin.write(f"{line}\n")
    process.stdin.flush()


def count_tokens(chosen: list[str]) -> int:
    """All tokens of the texts, <s> and </s> among them."""
    from ouvidor.nlp.encoder import load_tokenizer, prepare

    return sum(len(each.ids) for each in load_tokenizer(prepare()).encode_batch(chosen))


if __name__ == "__main__":
    main()
