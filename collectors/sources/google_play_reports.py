"""Google Play's monthly review reports: the whole history, with mere stars and the day of birth.

One UTF-16 table a month, from a folder of this machine or from the developer's bucket. A review
that is edited stands again in the month of its edit, so files are read in their order and the
latest state wins. Only files that are new or made anew are read.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import quote, urlencode

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from ...storage.vocabulary import Outcome
from ..batches import Batch, batches
from ..collector import Answer, Ask, Collector, Options, Page, Place, Trait, Trouble, WebAddress
from ..google_access import ServiceAccountKey, problem, refused_by_google, service_account
from ..google_play import Package
from ..google_play_months import Report, State, order, state_of
from ..google_play_rows import RowReader, mapped
from ..paging import START, onward
from ..rows import Layout, open_table
from ..wire import changed, objects, read_object

SCOPE = "https://www.googleapis.com/auth/devstorage.read_only"
API = "Cloud Storage API"
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")


def _bucket(value: str) -> str:
    name = value.removeprefix("gs://").partition("/")[0]
    if not _BUCKET.fullmatch(name):
        raise ValueError(
            f"{value[:60]!r} is no bucket; copy the Cloud Storage address from the Play Console "
            "(Download reports > Reviews), like 'pubsite_prod_rev_01234567890987654321'"
        )
    return name


class GooglePlayReportsSettings(Options):
    """One app's reports: ``path`` (a folder, a file, or a pattern), or ``bucket`` and ``key``."""

    base_url: WebAddress = "https://storage.googleapis.com"
    package: Package
    path: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)] | None = None
    bucket: Annotated[str, AfterValidator(_bucket)] | None = None
    key: ServiceAccountKey | None = None
    token_url: WebAddress | None = None
    max_minutes: float = Field(default=24 * 60, gt=0, le=24 * 60)
    max_megabytes: float = Field(default=512, gt=0, le=2048)

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.path is None) == (self.bucket is None):
            message = "the reports lie in a folder or in a bucket; set `path` or `bucket`"
            raise ValueError(message)
        if self.bucket is not None and self.key is None:
            message = 'a bucket needs `key`; write key = { env = "NAME" } and set NAME_FILE'
            raise ValueError(message)
        return self


class GooglePlayReports(Collector[GooglePlayReportsSettings]):
    """Reads the reports that are new or made anew, the oldest first."""

    kind = "google_play_reports"
    reads = ("package", "path", "bucket")
    traits = frozenset({Trait.PAGED, Trait.WHOLE_FILE, Trait.POLLED})
    Settings = GooglePlayReportsSettings
    robots = False

    def __init__(self, settings: GooglePlayReportsSettings, place: Place) -> None:
        super().__init__(settings, place)
        if settings.key is not None and settings.bucket is not None:
            self.access = service_account(settings.key, SCOPE, settings.token_url)

    def first(self, mark: Mapping[str, Any]) -> Ask:
        """The list of reports, or the first one of a folder."""
        if self.settings.path is None:
            return self._listing("", {**START, "found": (), "mark": mark})
        state = state_of(self._in_folder(self.settings.path), mark)
        if state.left:
            return self._ask(state.left[0], {"state": state})
        return self._ask(state.all[-1], {"state": state, "unchanged": True})

    def _listing(self, token: str, step: Mapping[str, Any]) -> Ask:
        prefix = f"reviews/reviews_{self.settings.package}_"
        query = {"prefix": prefix, "maxResults": "1000"} | ({"pageToken": token} if token else {})
        url = f"{self.settings.base_url}/storage/v1/b/{self.settings.bucket}/o?{urlencode(query)}"
        return Ask(url=url, step={**step, "list": True})

    def _in_folder(self, path: str) -> list[Report]:
        """The reports of this app there, in the order of their months; raises Trouble."""
        place = (self.place.folder / path).expanduser()
        pattern = f"reviews_{self.settings.package}_*"
        if place.is_dir():
            found = [
                each for each in place.glob(pattern) if each.name.endswith((".csv", ".csv.gz"))
            ]
        elif glob.has_magic(path):
            found = [Path(each) for each in glob.glob(str(place), recursive=True)]  # noqa: PTH207 - the pattern may be absolute
            found = [each for each in found if each.is_file() and self._ours(each.name)]
        else:
            found = [place]
        reports = [Report(name=str(each), version=_version(each)) for each in found]
        if not reports:
            raise Trouble(
                Outcome.MISCONFIGURED,
                f"{place} holds no review report of {self.settings.package} "
                f"({pattern}.csv); mend `path` or `package`.",
            )
        return sorted(reports, key=order)

    def _ours(self, name: str) -> bool:
        """Whether a file that is named as Google names them is of this app."""
        return not name.startswith("reviews_") or name.startswith(
            f"reviews_{self.settings.package}_"
        )

    def _ask(self, report: Report, step: Mapping[str, Any]) -> Ask:
        if self.settings.path is not None:
            return Ask(path=Path(report.name), step=step)
        name = quote(report.name, safe="")
        url = f"{self.settings.base_url}/storage/v1/b/{self.settings.bucket}/o/{name}?alt=media"
        return Ask(url=url, step=step)

    def parse(self, ask: Ask, answer: Answer, mark: Mapping[str, Any]) -> Iterator[Page]:  # noqa: ARG002 - it is in the step, unless all is read anew
        """The pages of a report, or what the list of them leads to."""
        if ask.step.get("list"):
            yield self._listed(ask, answer.path.read_bytes() if answer.path else answer.body)
        elif ask.step.get("unchanged"):
            yield _unchanged(ask.step["state"])
        elif answer.path is None:
            raise ValueError("a whole file comes as a path")
        else:
            yield from self._report(ask.step["state"], answer.path)

    def _listed(self, ask: Ask, body: bytes) -> Page:
        """The list's next page, or the first report of the whole list."""
        data = read_object(body, API)
        if data.get("kind") != "storage#objects":
            raise changed(API, "there is no list of objects")
        listed = map(self._described, objects(data, "items", API))
        found = [*ask.step["found"], *filter(None, listed)]
        known = ask.step["mark"]
        checkpoint = known or {"files": {}}
        if token := data.get("nextPageToken"):
            step = onward(ask.step, str(token), [report.name for report in found])
            following = self._listing(str(token), {**step, "found": tuple(found), "mark": known})
            return Page(checkpoint=checkpoint, next=following)
        if not found:
            raise Trouble(
                Outcome.MISCONFIGURED,
                f"The bucket has no review report of {self.settings.package}; mend `package` or "
                "`bucket` (a new app's first report comes a day after its first review).",
            )
        state = state_of(sorted(found, key=order), known)
        if not state.left:
            return _unchanged(state)
        return Page(checkpoint=checkpoint, next=self._ask(state.left[0], {"state": state}))

    def _described(self, each: object) -> Report | None:
        """A report in the list, or None for what is none of this app's."""
        if not isinstance(each, dict) or not isinstance(each.get("name"), str):
            raise changed(API, "an object has no name")
        name = each["name"]
        package = re.escape(self.settings.package)
        if not re.fullmatch(rf"reviews/reviews_{package}_[0-9]{{6}}\.csv", name):
            return None
        # Google makes every file anew each day; only the hash of its bytes says what is new.
        told = each.get("md5Hash") or each.get("crc32c") or each.get("generation") or ""
        return Report(name=name, version=str(told))

    def _report(self, state: State, path: Path) -> Iterator[Page]:
        """Pages of some hundred rows each; the last one leads to the next report."""
        report = state.left[0]
        with ExitStack() as resources:
            table = open_table(path, Layout(), resources)
            reader = RowReader(self.settings.package, mapped(table, Path(report.name).name))
            full = Batch()
            for batch in batches(iter(table.rows), reader.read, path):
                if full:
                    yield _page(full, report, reader, checkpoint=state.mark)
                full = batch
            state = state.read(reader.latest)
            yield _page(
                full,
                report,
                reader,
                checkpoint=state.mark,
                next=self._ask(state.left[0], {"state": state}) if state.left else None,
                empty=not full.rows,
                covered=None if state.left else state.covered,
                notes=state.notes,
            )

    def refusal(self, ask: Ask, answer: Answer) -> Trouble | None:
        """What Google has against us."""
        if told := refused_by_google(answer, API):
            return told
        bucket, said = self.settings.bucket, problem(answer).message or answer.status
        if answer.status == 403:  # noqa: PLR2004 - forbidden
            return Trouble(
                Outcome.BLOCKED,
                f"The service account may not read the bucket {bucket} ({said}); invite its "
                "address in the Play Console with the right to view app information and download "
                "bulk reports for all apps, and wait a day.",
            )
        if answer.status == 404 and ask.step.get("list"):  # noqa: PLR2004 - unknown
            return Trouble(
                Outcome.MISCONFIGURED,
                f"There is no bucket {bucket} ({said}); copy its name from the Play Console "
                "(Download reports > Reviews > Copy Cloud Storage URI).",
            )
        return None


def _unchanged(state: State) -> Page:
    """Nothing was made anew since the mark."""
    return Page(checkpoint=state.mark, unchanged=True, covered=state.covered, notes=state.notes)


def _version(path: Path) -> str:
    """Changes when a file does; one that cannot be seen is told of when it is opened."""
    try:
        found = path.stat()
    except OSError:
        return ""
    return f"{found.st_size}-{found.st_mtime_ns}"


def _page(batch: Batch, report: Report, reader: RowReader, **more: Any) -> Page:
    """A page whose rows say of which month they are."""
    unknown, reader.unknown = reader.unknown, type(reader.unknown)()
    page = batch.page(unknown=unknown, **more)
    return replace(
        page,
        where=[f"{report.month} {where}".strip() for where in page.where],
        rejected=[
            replace(each, where=f"{report.month} {each.where}".strip()) for each in page.rejected
        ],
    )
