"""Items/s of the whole path, HTTP → parse → contract checks → commit (SQLite), on loopback.

As a share of a bare asyncio client that only downloads the same bytes: the same server, the same
pages in the same order, one request at a time on one connection and no delay for both. The bare
client reads no JSON and stores nothing. Ours is all of one run of `collect`, its start (Scrapy's
imports, about a second) among it: parsed, checked, masked, hashed, stored with its payload, a
transaction and a checkpoint for each page of a hundred.

A page that takes no time measures our own work alone, and no source is like that: with a public
source a page takes 50 ms and more, and politeness puts a second or three before each. ``of a
core`` is the processor time of each as a share of its run: what is left was waiting, for pages, for
the disk or for other programs of this machine.

Run: python benchmarks/collect.py [items] [milliseconds a page takes]
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

from ouvidor.collectors.run import run_source
from ouvidor.config import Source
from ouvidor.storage.database import open_database
from ouvidor.storage.feedback import Door
from ouvidor.storage.vocabulary import Outcome

NOW = datetime(2026, 10, 5, 15, tzinfo=UTC)
PAGE = 100
COMPANY = "EXAMPLE BANK"
WORDS = (
    "I was charged twice for the same purchase, and nobody answers. I called on Monday "
    "and again on Friday, wrote to the branch, and was told to wait for ten working days. "
    "The second charge is still on my statement, number {number} in the list, and the fee with "
    "it. All I ask for is that the second payment is returned and that somebody says sorry."
)
ENDS = ("Thank you.", "Call me on (11) 98765-4321, as I said on 2026-03-04.")
"""One text in twenty holds a number that has to be masked."""
PATH = "/data-research/consumer-complaints/search/api/v1/?company=EXAMPLE+BANK&size=100"


def page(total: int, first: int) -> bytes:
    """A hundred complaints behind the one numbered ``first``."""
    hits = [_hit(number) for number in range(first + 1, min(first + PAGE, total) + 1)]
    return json.dumps({"hits": {"total": {"value": total}, "hits": hits}}).encode()


def _hit(number: int) -> dict[str, Any]:
    day = (NOW - timedelta(days=900) + timedelta(minutes=number)).date()
    told = {
        "complaint_id": str(number),
        "date_received": f"{day}T12:00:00-05:00",
        "date_sent_to_company": f"{day}T12:00:00-05:00",
        "company": COMPANY,
        "product": "Credit card",
        "issue": "Fees or interest",
        "sub_issue": None,
        "complaint_what_happened": f"{WORDS.format(number=number)} {ENDS[number % 20 == 0]}",
        "company_public_response": "",
        "company_response": "Closed with explanation",
        "state": "CA",
        "zip_code": "940XX",
        "submitted_via": "Web",
        "timely": "Yes",
        "tags": None,
        "has_narrative": True,
    }
    return {"_id": str(number), "_source": told, "sort": [number * 60_000, str(number)]}


def serve(total: int, wait: float, tell: Connection) -> None:
    """The source, in a process of its own."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            query = parse_qs(urlsplit(head.split(b" ", 2)[1].decode()).query)
            after = query.get("search_after", ["0_0"])[0]
            body = page(total, int(after.partition("_")[2]))
            await asyncio.sleep(wait)
            kind, length = b"Content-Type: application/json", b"Content-Length: %d" % len(body)
            lines = (b"HTTP/1.1 200 OK", kind, length, b"", body)
            writer.write(b"\r\n".join(lines))
            await writer.drain()

    async def quiet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def main() -> None:
        server = await asyncio.start_server(quiet, "127.0.0.1", 0)
        tell.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


def bare(port: int, total: int, _folder: Path) -> None:
    """Download every page over one connection, and do nothing with it."""

    async def main() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for first in range(0, total, PAGE):
            address = f"{PATH}&search_after={first * 60_000}_{first}"
            writer.write(f"GET {address} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.partition(b"Content-Length: ")[2].partition(b"\r")[0])
            await reader.readexactly(length)
        writer.close()

    asyncio.run(main())


def whole(port: int, total: int, folder: Path) -> None:
    """Our own run, into an empty SQLite file."""
    db = open_database(f"sqlite:///{folder}/bench.db")
    options = {"company": COMPANY, "delay": 0, "max_requests": 100_000, "max_minutes": 600}
    source = Source(kind="cfpb", base_url=f"http://127.0.0.1:{port}", options=options)
    door = Door(b"k" * 32, ZoneInfo("America/Sao_Paulo"))
    report = run_source(db, "bench", source, door=door, now=NOW, folder=folder)
    db.close()
    if (report.outcome, report.new) != (Outcome.COMPLETE, total):
        raise SystemExit(f"the run did not bring everything: {report}")


def timed(work: Callable[[int, int, Path], None], port: int, total: int, tell: Connection) -> None:
    """In a process of its own: seconds, those of the processor, megabytes at their most."""
    with tempfile.TemporaryDirectory() as folder:
        if work is whole:
            open_database(f"sqlite:///{folder}/bench.db").close()
        start, busy = time.perf_counter(), time.process_time()
        work(port, total, Path(folder))
        took, busy = time.perf_counter() - start, time.process_time() - busy
    tell.send((took, busy, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024))


def apart(target: Callable[..., None], *arguments: Any) -> tuple[multiprocessing.Process, Any]:
    """Start a process and hear the first thing it has to tell."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=target, args=(*arguments, theirs), daemon=True)
    process.start()
    theirs.close()
    return process, ours.recv()


def main() -> None:
    """Both ways over the same pages."""
    total = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    wait = float(next(iter(sys.argv[2:]), 0)) / 1000
    server, port = apart(serve, total, wait)
    rates: dict[str, float] = {}
    for name, work in (("bare", bare), ("ouvidor", whole)):
        process, (took, busy, peak) = apart(timed, work, port, total)
        process.join()
        rates[name] = total / took
        print(
            f"{name:<8} {rates[name]:>9,.0f} items/s   {busy / took:>4.0%} of a core   "
            f"peak {peak} MB at {total:,} items"
        )
    server.terminate()
    print(f"share    {rates['ouvidor'] / rates['bare']:>9.0%}   with {wait * 1000:g} ms a page")


if __name__ == "__main__":
    main()
