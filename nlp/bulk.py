"""Millions at once: Ray Data hands out blocks of ids, workers tag and save them.

Ray carries numbers only. A worker reads its block from PostgreSQL and writes it there as `annotate`
does, so that no text, name or address lies in Ray's memory or logs, and a block that is done twice
counts once. Ray is an extra, and imported nowhere else.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from ..storage import annotations as tags
from ..storage import workers as processes
from ..storage.database import StorageError, open_database
from .annotate import Annotated, annotate_block
from .heads import HeadsError
from .wheel import EncoderError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from ..storage.database import Database
    from ..storage.vocabulary import Topic
    from .touchpoints import Named

LOCAL = "local"
"""The address of no cluster: this machine, for as long as it takes."""
BLOCK = 1024
"""Ids in a block at most: about half a minute of one core."""
_SHARE = 8
"""Blocks a worker gets at least, so that none waits long for the last one."""
_STORE = 256 * 2**20
"""Bytes of shared memory Ray may take; with numbers alone it uses next to nothing of them."""
_PREFIX = "ouvidor-ray-"
_LONGEST = 12
"""Characters the temporary folder may have: a socket's path holds 103 to 107, and 91 are taken."""


class BulkError(Exception):
    """Ray cannot do it; the text says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a worker has to know. ``moment`` stands for the clock when it is given.

    ``url`` is PostgreSQL's, hidden from whatever prints a job; ``since`` as in `annotate_block`;
    ``version`` is the tagger's, which every machine has to have.
    """

    url: SecretStr
    model: Path
    version: str
    touchpoints: Sequence[Named] = ()
    categories: Mapping[str, Mapping[str, Topic]] = field(default_factory=dict)
    since: datetime | None = None
    moment: datetime | None = None
    worker: str = field(default_factory=processes.me)

    def now(self) -> datetime:
        """The moment that counts."""
        return self.moment or datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bulk(Annotated):
    """What a bulk did. ``core_seconds`` is the processors' time its workers spent."""

    core_seconds: float
    workers: int


def refuse(db: Database) -> None:
    """Raise BulkError where a bulk is not possible."""
    if db.embedded:
        raise BulkError(
            "--ray needs PostgreSQL, because several workers write at once; take the house there "
            "with `ouvidor db move`, or leave --ray away."
        )
    if importlib.util.find_spec("ray") is None:
        raise BulkError("--ray needs Ray Data; run `pip install ouvidor[ray]`.")


def annotate_all(
    db: Database,
    job: Job,
    *,
    address: str = LOCAL,
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Bulk:
    """Tag all that waits or is stale, in blocks, with so many workers (default: one per core).

    ``address`` is a Ray cluster's. ``progress`` is told how many ids were gone through. Raises
    BulkError, and StorageError when the database ends the work; what was saved stays.
    """
    refuse(db)
    reach(address)
    # Read when Ray is imported: nothing is reported to its makers, and nothing drawn by it.
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DATA_DISABLE_PROGRESS_BARS": "1"}
    with _ray(address, workers) as count:
        tagged = uncertain = 0
        seconds = 0.0
        for row in _rows(job, blocks(tags.ids(db), count), count):
            if row["problem"]:
                raise BulkError(row["problem"])
            tagged += row["tagged"]
            uncertain += row["uncertain"]
            seconds += row["seconds"]
            if progress:
                progress(row["ids"])
    return Bulk(tagged=tagged, uncertain=uncertain, core_seconds=seconds, workers=count)


def blocks(ids: range, workers: int) -> list[range]:
    """The ids in blocks, none of them empty: enough for all workers, none too long. Pure."""
    size = max(1, min(BLOCK, len(ids) // (workers * _SHARE)))
    return [ids[at : at + size] for at in range(0, len(ids), size)]


class Worker:
    """One process of Ray's, one core: loads the tagger once and does block after block."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._tools: tuple[Database, Any] | None = None

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[Any]]:
        """One block, as (first, count); a problem that has a sentence comes back as one."""
        block = range(int(batch["first"][0]), int(batch["first"][0] + batch["count"][0]))
        done, problem, seconds = Annotated(tagged=0, uncertain=0), "", 0.0
        try:
            # Not when it starts: what goes wrong here comes back as a sentence, too.
            db, tagger = self._tools = self._tools or self._ready()
            start = time.process_time()
            job = self._job
            done = annotate_block(
                db, tagger, block, since=job.since, now=job.now, worker=job.worker
            )
            seconds = time.process_time() - start
        except (BulkError, StorageError, EncoderError, HeadsError) as error:
            problem = str(error)
        return {
            "ids": [len(block)],
            "tagged": [done.tagged],
            "uncertain": [done.uncertain],
            "seconds": [seconds],
            "problem": [problem],
        }

    def _ready(self) -> tuple[Database, Any]:
        from .tagger import Tagger

        job = self._job
        tagger = Tagger(
            touchpoints=job.touchpoints, categories=job.categories, model=job.model, threads=1
        )
        if tagger.version != job.version:
            raise BulkError(
                f"A worker has the tagger {tagger.version}, not {job.version}; install the same "
                "Ouvidor, and the same adapted weights, on every machine."
            )
        return open_database(job.url.get_secret_value()), tagger


def _rows(job: Job, chosen: Sequence[range], workers: int) -> Iterable[dict[str, Any]]:
    """What became of each block, as soon as it is done; a dead worker's block is done again."""
    import ray

    if not chosen:
        return ()
    items = [{"first": block.start, "count": len(block)} for block in chosen]
    # Two blocks are on their way to a worker: one it does, one it need not wait for.
    pool = ray.data.ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=2)
    done = ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
        Worker, batch_size=1, compute=pool, num_cpus=1, fn_constructor_kwargs={"job": job}
    )
    return done.iter_rows()


@contextlib.contextmanager
def _ray(address: str, workers: int | None) -> Iterator[int]:
    """Ray for as long as it is needed; gives the number of workers."""
    terminated = signal.getsignal(signal.SIGTERM)
    _sweep()
    with _folder() as folder, _aside(folder / "ray.log"):
        settings = _here(folder, workers) if address == LOCAL else {}
        import ray
        import ray.data

        logging.getLogger("ray.data").setLevel(logging.CRITICAL)
        try:
            _connect(address, settings)
            # Ray takes the signal for itself, and would end with another code.
            signal.signal(signal.SIGTERM, terminated)
            resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call] # it has no types
            yield _enough(int(resources.get("CPU", 0)), workers)
        except ray.exceptions.RayError as error:
            raise BulkError(
                f"Ray gave up ({type(error).__name__}: {_first_line(error)}); what was tagged is "
                "saved, and the same command goes on with the rest."
            ) from error
        finally:
            ray.shutdown()


def _connect(address: str, settings: Mapping[str, Any]) -> None:
    import ray

    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    try:
        ray.init(address=address, **quiet, **settings)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise _no_answer(address, error) from error


def reach(address: str) -> None:
    """Raise BulkError where nobody listens at HOST:PORT: Ray itself would wait for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not (host and port.isdigit()):
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise _no_answer(address, error) from error


def _no_answer(address: str, error: Exception) -> BulkError:
    return BulkError(
        f"--ray {address}: Ray does not answer there ({_first_line(error)}); start a cluster "
        "with `ray start --head`, or leave the address away to use this machine."
    )


def _here(folder: Path, workers: int | None) -> dict[str, Any]:
    """How Ray starts on this machine. Its processes read the environment, some at import."""
    token = folder / "token"
    token.touch(mode=0o600)
    token.write_text(secrets.token_hex(32), encoding="ascii")
    os.environ |= {
        # Whoever speaks to Ray may run code; the other users of this machine may not.
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        # What its name does not say: Ray's processes then meet on loopback on any system.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        # The one who asked waits for it: as eager as `annotate` is.
        "RAY_worker_niceness": "0",
    }
    return {
        "num_cpus": workers,
        "include_dashboard": False,
        "object_store_memory": _STORE,
        "_temp_dir": str(folder),
    }


def _enough(cores: int, workers: int | None) -> int:
    if workers and workers > cores:
        raise BulkError(
            f"--workers {workers}: the cluster has {cores} cores; ask for no more than that."
        )
    return workers or cores


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0][:300]


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """A folder of our own for Ray's sockets and logs, gone afterwards."""
    folder = tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=_base())
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _base() -> Path:
    """The system's temporary folder; the plain one where its name is too long for sockets in it."""
    usual = tempfile.gettempdir()
    return Path(usual if len(usual) <= _LONGEST else "/tmp")  # noqa: S108 - mkdtemp guards it  # nosec B108


def _sweep() -> None:
    """Remove the folders of our processes that were killed."""
    for folder in _base().glob(f"{_PREFIX}*-*"):
        pid = folder.name.removeprefix(_PREFIX).partition("-")[0]
        ours = pid.isdigit() and folder.stat().st_uid == os.getuid()
        if ours and processes.gone(f"{socket.gethostname()}:{pid}:"):
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _aside(log: Path) -> Iterator[None]:
    """What Ray says goes to a file, what we say to where it went before.

    Its libraries write to the descriptors 1 and 2 themselves, at levels that nothing turns off.
    """
    before = sys.stderr
    before.flush()
    sys.stdout.flush()
    out, err = os.dup(1), os.dup(2)
    ours = open(err, "w", encoding="utf-8", errors="backslashreplace")  # noqa: PTH123, SIM115 - a descriptor, closed below
    with log.open("wb") as file:
        for number in (1, 2):
            os.dup2(file.fileno(), number)
    sys.stderr = ours
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(out, 1)
        os.dup2(err, 2)
        os.close(out)
        sys.stderr = before
        ours.close()
