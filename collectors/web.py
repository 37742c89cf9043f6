"""The web: Scrapy asks, politely and one by one; the answer is a value.

Scrapy runs on Twisted's asyncio reactor, whose loop is driven from here instead of by
``reactor.run()``: a reactor can be run only once in a process, a loop any number of times, so that
tests and programs that collect several sources take the very path of production.
"""

from __future__ import annotations

import asyncio
import atexit
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
    Mapping,
)
from datetime import datetime
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from ..config import PIECE, pieces, secrets_in
from ..storage.vocabulary import Outcome
from . import manners
from .collector import Answer, Ask, Options, Trouble
from .judge import clip, wait_asked
from .stop import GRACE, Stop
from .turns import Turns

if TYPE_CHECKING:
    from scrapy.http import Request, Response

    from .names import AsyncioNames

T = TypeVar("T")
Fetch = Callable[[Ask, Mapping[str, str]], Awaitable[Answer]]

_AGAIN = {408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524}


@cache
def _loop() -> tuple[asyncio.AbstractEventLoop, AsyncioNames]:
    """The loop under the reactor, and what looks names up for it; made once."""
    manners.quiet()
    from twisted.internet import asyncioreactor

    loop = asyncio.new_event_loop()
    asyncioreactor.install(loop)  # type: ignore[no-untyped-call]  # Twisted's
    from twisted.internet import reactor

    from .names import AsyncioNames

    # Twisted resolves names in threads that only `reactor.run()` starts.
    names = AsyncioNames(loop)
    reactor.installNameResolver(names)
    atexit.register(loop.close)
    return loop, names


def run(
    work: Callable[[Fetch], Coroutine[Any, Any, T]],
    options: Options,
    url: str,
    *,
    stop: Stop,
    clock: Callable[[], datetime],
    robots: bool = True,
) -> T:
    """Run ``work`` with a fetch for the host of ``url``; what it raises is raised here.

    When asked to stop, the work is cancelled at its next wait (CancelledError).
    """
    loop, names = _loop()
    names.open, names.refused = options.private_network, {}
    settings = manners.scrapy_settings(options, url) | {"ROBOTSTXT_OBEY": robots}
    return loop.run_until_complete(_crawl(work, options, settings, stop=stop, clock=clock))


async def _crawl(
    work: Callable[[Fetch], Coroutine[Any, Any, T]],
    options: Options,
    settings: Mapping[str, Any],
    *,
    stop: Stop,
    clock: Callable[[], datetime],
) -> T:
    from scrapy import Spider
    from scrapy.crawler import AsyncCrawlerRunner

    loop = asyncio.get_running_loop()
    begun: asyncio.Future[asyncio.Task[T]] = loop.create_future()

    class Guest(Spider):
        """One task instead of callbacks: a page is stored before the next is asked for."""

        name = "ouvidor"

        async def start(self) -> AsyncIterator[Any]:
            turns = Turns(settings["DOWNLOAD_DELAY"])
            fetch = _Fetcher(self.crawler.engine.download_async, options, clock, turns)
            task = loop.create_task(work(fetch))
            begun.set_result(task)
            await asyncio.wait({task})
            return
            yield

    crawl = asyncio.ensure_future(AsyncCrawlerRunner(dict(settings)).crawl(Guest))
    waiting: set[asyncio.Future[Any]] = {crawl, begun}
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    if not begun.done():
        await crawl
    task = begun.result()
    stop.calls(lambda: loop.call_soon_threadsafe(task.cancel))
    await asyncio.wait({task})
    await _left_behind(loop, crawl)
    return task.result()


async def _left_behind(loop: asyncio.AbstractEventLoop, crawl: asyncio.Future[None]) -> None:
    """Let the crawl end, and give up what it leaves: a hanging download must not delay an end."""
    await asyncio.wait({crawl}, timeout=GRACE)
    left = asyncio.all_tasks(loop) - {asyncio.current_task()}
    for each in left:
        each.cancel()
    if left:
        await asyncio.wait(left, timeout=GRACE)


class _Fetcher:
    """Asks, waits and asks again where a second try can help."""

    def __init__(
        self,
        download: Callable[[Request], Awaitable[Response]],
        options: Options,
        clock: Callable[[], datetime],
        turns: Turns,
    ) -> None:
        self._download = download
        self._turns = turns
        self._options = options
        self._clock = clock
        self._left = options.max_requests
        self._secrets = [each for each in pieces(secrets_in(options)) if len(each) >= PIECE]

    async def __call__(self, ask: Ask, headers: Mapping[str, str]) -> Answer:
        """The answer to one request, whatever its status; raises Trouble without one."""
        for attempt in range(self._options.retries + 1):
            last = attempt == self._options.retries
            try:
                answer = await self._once(ask, headers)
            except Trouble as trouble:
                if last or trouble.outcome is not Outcome.UNAVAILABLE:
                    raise
                wait = self._backoff(attempt)
            else:
                pause = self._pause(answer, attempt)
                if last or pause is None:
                    return answer
                wait = pause
            await asyncio.sleep(wait)
        raise AssertionError  # the last attempt returns or raises

    def _backoff(self, attempt: int) -> float:
        return min(self._options.backoff * 2.0**attempt, self._options.patience)

    def _pause(self, answer: Answer, attempt: int) -> float | None:
        """Seconds before the next try, or None when there should be none."""
        if answer.status not in _AGAIN:
            return None
        asked = wait_asked(answer, self._clock())
        if asked is None:
            return self._backoff(attempt)
        return asked if asked <= self._options.patience else None

    async def _once(self, ask: Ask, headers: Mapping[str, str]) -> Answer:
        from scrapy.http import Request

        if self._left <= 0:
            raise Trouble(
                Outcome.PARTIAL,
                f"The run made {self._options.max_requests} requests, its most; run it again, or "
                "raise `max_requests`.",
            )
        self._left -= 1
        request = Request(
            ask.url,
            method="GET" if ask.body is None else "POST",
            headers={**ask.headers, **headers},
            body=ask.body,
            dont_filter=True,
        )
        try:
            async with self._turns.at(ask.url):
                response = await self._download(request)
        except Trouble:
            raise
        except Exception as error:
            raise _trouble(error, ask.url, self._options) from error
        secret = [each.encode() for each in (*self._secrets, *_sent({**ask.headers, **headers}))]
        said = {name: _hush(each, secret) for name, each in _headers(response)}
        return Answer(
            url=response.url,
            status=response.status,
            headers={name: each.decode("latin-1") for name, each in said.items()},
            body=b""
            if response.status == HTTPStatus.NOT_MODIFIED
            else _hush(response.body, secret),
        )


_OPEN = {"content-type", "if-none-match", "if-modified-since", "accept"}
"""Headers that hold no secret."""


def _hush(told: bytes, secrets: Iterable[bytes]) -> bytes:
    """An answer without what it was asked with: an error may say our secrets back to us."""
    for secret in secrets:
        for form in (secret, secret.replace(b"/", b"\\/")):  # as JSON may write it
            if form in told:
                told = told.replace(form, b"***")
    return told


def _sent(headers: Mapping[str, str]) -> list[str]:
    """Tokens and keys that go with a request, as long as they are long enough to be told apart."""
    values = [value for name, value in headers.items() if name.lower() not in _OPEN]
    return [part for value in values for part in value.split() if len(part) >= PIECE]


def _headers(response: Response) -> Iterator[tuple[str, bytes]]:
    for name, values in response.headers.items():
        yield name.decode("latin-1").lower(), b", ".join(values)


def _trouble(error: Exception, url: str, options: Options) -> Trouble:
    """What kept a request from being answered, as an outcome."""
    from scrapy import exceptions as e

    host = clip(urlsplit(url).netloc)
    inside = _loop()[1].refused.get(urlsplit(url).hostname or "")
    if inside is not None:
        return Trouble(
            Outcome.MISCONFIGURED,
            f"{host} leads to {inside}, an address inside a network of one's own, and was not "
            "asked; if that is right, set private_network = true in this source.",
        )
    known = {
        e.IgnoreRequest: Trouble(
            Outcome.BLOCKED,
            f"robots.txt of {host} forbids this address; use its official API or an export.",
        ),
        e.CannotResolveHostError: Trouble(
            Outcome.UNAVAILABLE,
            f"No machine is called {host}; check `base_url` and this machine's network.",
        ),
        e.DownloadConnectionRefusedError: Trouble(
            Outcome.UNAVAILABLE,
            f"{host} refuses connections; check `base_url`, or run it again later.",
        ),
        e.DownloadTimeoutError: Trouble(
            Outcome.UNAVAILABLE,
            f"{host} did not answer within {options.timeout:g} s; run it again later, or raise "
            "`timeout`.",
        ),
        e.ResponseDataLossError: Trouble(
            Outcome.UNAVAILABLE,
            f"The answer of {host} broke off before its end; the next run reads it again.",
        ),
        e.DownloadCancelledError: Trouble(
            Outcome.MISCONFIGURED,
            f"The answer of {host} is larger than {options.max_megabytes:g} MB; raise "
            "`max_megabytes` if that is right.",
        ),
    }
    other = Trouble(
        Outcome.UNAVAILABLE,
        f"{host} could not be reached ({type(error).__name__}: {clip(error)}); check the network "
        "and `base_url`.",
    )
    return known.get(type(error), other)
