"""The open data of consumidor.gov.br (Senacon, CC BY): every complaint that ended, month by month.

A file has no text, no id and no person, only categories, dates and a note; and one month is
published again when rows come late. A complaint is therefore known by its month and by what
nobody changes any more, and equal rows are counted, never merged: the same month read again, in
another layout or encoding, makes no duplicates.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from functools import partial
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Annotated, Any
from urllib.parse import unquote, urlencode, urlsplit, urlunsplit
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator

from ...storage.vocabulary import Feedback, Kind, Outcome, Topic
from ..archives import tables
from ..batches import Tally, batches
from ..cells import parse_stars, parse_time
from ..collector import Answer, Ask, Collector, Options, Page, Trait, Trouble, WebAddress
from ..columns import fold
from ..complaints import facts, yes
from ..judge import clip
from ..rows import Layout, Row, Table, first_bad, open_table

MIRROR = "https://dados.mj.gov.br"
DATA_SET = "reclamacoes-do-consumidor-gov-br"
LONGEST = timedelta(days=45)
"""From a complaint to its end: 10 days to answer, 15 to weigh a refusal, 20 to evaluate."""

_SURE = 4
"""So many known names make a row the one that names the columns."""
_MARK_BYTES = 3500
_MOST_NAMES = 20_000
_TABLES = {".csv", ".zip", ".7z", ".xlsx", ".txt"}
_COLUMNS = {
    "region": "Região",
    "state": "UF",
    "city": "Cidade",
    "sex": "Sexo",
    "age": "Faixa Etária",
    "opened": "Data Abertura",
    "answered_at": "Data Resposta",
    "refused_at": "Data Recusa",
    "finished": "Data Finalização",
    "days_to_answer": "Tempo Resposta",
    "company": "Nome Fantasia",
    "segment": "Segmento de Mercado",
    "area": "Área",
    "subject": "Assunto",
    "problem_group": "Grupo Problema",
    "problem": "Problema",
    "bought_by": "Como Comprou Contratou",
    "contacted_company": "Procurou Empresa",
    "answered": "Respondida",
    "situation": "Situação",
    "verdict": "Avaliação Reclamação",
    "note": "Nota do Consumidor",
    "refusal": "Análise da Recusa",
    "channel": "Canal de Origem",
    "manager": "Gestor",
    "analysed_at": "Data Análise",
    "year": "Ano Abertura",
    "month": "Mês Abertura",
    "answer_until": "Prazo Resposta",
    "analyse_until": "Prazo Analise Gestor",
    "group": "Grupo Econômico",
}
CATEGORIES = MappingProxyType(
    {
        "Atendimento / SAC": Topic.CUSTOMER_SUPPORT,
        "Cobrança / Contestação": Topic.BILLING_PAYMENT,
        "Dados Pessoais e Privacidade": Topic.SECURITY_FRAUD,
        "Entrega do Produto": Topic.DELIVERY,
        "Vício de Qualidade": Topic.PRODUCT_QUALITY,
    }
)
"""Groups of problems that are about one thing; "Contrato / Oferta" is about too many."""
_NEEDED = ("company", "finished", "problem")
_LASTING = (
    *("state", "city", "sex", "age", "finished", "company", "area", "subject"),
    *("problem_group", "problem", "bought_by", "contacted_company"),
)
"""What every layout has and nobody changes: with its month, a complaint's identity."""
_ATTRIBUTES = (
    *("region", "state", "city", "sex", "age", "days_to_answer", "company", "segment", "area"),
    *("subject", "problem_group", "problem", "bought_by", "refusal", "channel", "group"),
)
_CATEGORIES = ("problem_group", "problem", "subject")
"""What a complaint without a text is about: the widest that there is."""
_SITUATIONS = {
    "finalizada avaliada": "evaluated",
    "finalizada nao avaliada": "not_evaluated",
    "cancelada": "cancelled",
    "encerrada": "closed",
}
_VERDICTS = {"resolvida": "resolved", "nao resolvida": "not_resolved", "nao avaliada": ""}
_UNRATED = {"", "nao avaliada", "nao avaliado", "null", "nan"}
_MONTHS = (
    re.compile(r"(?<!\d)(?P<year>20\d\d)[-_.]?(?P<month>0[1-9]|1[0-2])(?!\d)"),
    re.compile(r"(?<!\d)(?P<month>0[1-9]|1[0-2])[-_.](?P<year>20\d\d)(?!\d)"),
)
_COPY = re.compile(r"\s*\(\d+\)$")
_DISPOSED = re.compile(r"filename\*?=(?:UTF-8'')?\"?([^\";]+)", re.IGNORECASE)


def _companies(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _since(value: str) -> str:
    if not re.fullmatch(r"20\d\d-(?:0[1-9]|1[0-2])", value):
        raise ValueError(f"{value!r} is no month; write one like '2025-01'")
    return value


Company = Annotated[str, StringConstraints(strip_whitespace=True, min_length=2)]


class ConsumidorGovBrSettings(Options):
    """``company`` is the trade name in the column "Nome Fantasia", or several of them.

    Files come from ``path`` (a file or a folder), from ``urls``, or from the ministry's list.
    """

    company: Annotated[list[Company], BeforeValidator(_companies), Field(min_length=1)]
    path: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)] | None = None
    urls: list[WebAddress] | None = Field(default=None, min_length=1)
    since: Annotated[str, AfterValidator(_since)] | None = None
    max_minutes: float = Field(default=24 * 60, gt=0, le=24 * 60)
    max_megabytes: float = Field(default=512, gt=0, le=2048)

    @model_validator(mode="after")
    def _one_way(self) -> ConsumidorGovBrSettings:
        if self.path is not None and self.urls is not None:
            raise ValueError("`path` and `urls` are two ways to the files; keep one of them")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """One published file. ``version`` is empty where only its bytes can tell."""

    name: str
    publication: str
    version: str
    address: str
    modified: str = ""

    @property
    def rank(self) -> tuple[bool, str]:
        """Of two files of one month the one that tells more, then the newer one."""
        return "basecompleta" in fold(self.name).replace(" ", ""), self.modified


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    """How far a reading of many files has come."""

    todo: tuple[_File, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    had: bool = False
    ours: int = 0
    rows: int = 0
    read: int = 0
    bad: tuple[Trouble, ...] = ()
    names: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()

    @property
    def mark(self) -> dict[str, object]:
        """Which files are known in which version: small, the oldest being left out first."""
        kept = dict(sorted(self.files.items(), reverse=True))
        while len(json.dumps(kept)) > _MARK_BYTES:
            kept.popitem()
        return {"files": kept, "had": self.had}


class ConsumidorGovBr(Collector[ConsumidorGovBrSettings]):
    """Reads every file that is new or was published again, the newest month first."""

    kind = "consumidor_gov_br"
    traits = frozenset({Trait.WHOLE_FILE, Trait.POLLED})
    reads = ("company", "path", "urls")
    Settings = ConsumidorGovBrSettings
    part_of = "company"
    categories = CATEGORIES
    robots = False

    def first(self, mark: Mapping[str, Any]) -> Ask:
        """The list, or the first file that has changed."""
        files, path = mark.get("files") or {}, self.settings.path
        if self.settings.urls is not None:
            found = [self._at(url) for url in self.settings.urls]
        elif path is not None and self.settings.base_url is not None:
            found = [self._at(f"{self.settings.base_url}/{path.lstrip('/')}")]
        elif path is not None:
            found = self._in(self.place.folder / Path(path).expanduser())
        else:
            base = self.settings.base_url or MIRROR
            url = f"{base}/api/3/action/package_show?{urlencode({'id': DATA_SET})}"
            return Ask(url=url, step={"list": True, "files": files})
        state = self._planned(found, files)
        return self._next(state) or self._ask(found[-1], state)

    def _at(self, url: str) -> _File:
        """A file of the web; ``base_url`` stands for its host."""
        parts = urlsplit(url)
        if self.settings.base_url is not None:
            base = urlsplit(self.settings.base_url)
            parts = parts._replace(scheme=base.scheme, netloc=base.netloc)
        name = unquote(PurePosixPath(parts.path).name)
        of = publication(name)
        if not _is_month(of):
            of = publication(unquote(parts.path).replace("/", "-"))
        return _File(name=name, publication=of, version="", address=urlunsplit(parts))

    def _in(self, place: Path) -> list[_File]:
        """The files in a folder, or the one file; raises Trouble where there is none."""
        try:
            found = [
                each
                for each in (sorted(place.iterdir()) if place.is_dir() else [place])
                if each == place or (each.suffix.lower() in _TABLES and each.is_file())
            ]
            found = [each for each in found if not each.name.endswith(".rejected.csv")]
            files = [_local(each) for each in found if each.exists()]
        except OSError as error:
            raise Trouble(
                Outcome.MISCONFIGURED, f"{place} cannot be read ({error.strerror}); mend `path`."
            ) from error
        if not place.exists():
            raise Trouble(
                Outcome.MISCONFIGURED,
                f"{place} does not exist; mend `path` (it starts at the folder of the "
                "configuration).",
            )
        if not files:
            raise Trouble(
                Outcome.MISCONFIGURED,
                f"{place} holds no CSV or ZIP; mend `path`, put the files of consumidor.gov.br "
                "there, or leave `path` out to have them fetched.",
            )
        return files

    def _planned(self, found: Sequence[_File], files: Mapping[str, str]) -> _State:
        """What has to be read: one file for each month, unless it is known in this version."""
        best: dict[str, _File] = {}
        for each in sorted(found, key=lambda each: each.rank):
            best[each.publication] = each
        since = self.settings.since
        chosen = [
            each
            for each in best.values()
            if since is None or not _is_month(each.publication) or each.publication >= since
        ]
        todo = [
            each for each in chosen if not _known(files.get(each.publication, ""), each.version)
        ]
        todo.sort(key=lambda each: each.publication, reverse=True)
        spare = [each.name for each in found if best[each.publication] is not each]
        notes = (f"{', '.join(spare[:5])}: another file of the same month was read",)
        return _State(todo=tuple(todo), files=dict(files), notes=notes if spare else ())

    def _next(self, state: _State) -> Ask | None:
        return self._ask(state.todo[0], state) if state.todo else None

    def _ask(self, file: _File, state: _State) -> Ask:
        if "://" in file.address:
            return Ask(url=file.address, step={"state": state})
        return Ask(path=Path(file.address), step={"state": state})

    def parse(self, ask: Ask, answer: Answer, mark: Mapping[str, Any]) -> Iterator[Page]:
        """The list, or pages of some hundred complaints of one file."""
        if answer.path is None:
            raise ValueError("a whole file comes as a path")
        had = bool(mark.get("had"))
        if ask.step.get("list"):
            found = self._listed(ask.url, answer.path)
            state = replace(self._planned(found, ask.step["files"]), had=had)
            following = self._next(state)
            if following is None:
                yield self._end(state)
            else:
                yield Page(checkpoint=state.mark, next=following, notes=state.notes)
            return
        state = replace(ask.step["state"], had=had or ask.step["state"].had)
        if not state.todo:
            yield self._end(state)
            return
        yield from self._file(state, answer, answer.path)

    def _listed(self, url: str, path: Path) -> list[_File]:
        """The files in the ministry's list; raises Trouble."""
        try:
            data = json.loads(path.read_bytes())
            resources = data["result"]["resources"] if data["success"] else None
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise _new_list("it is not the list of a data set") from error
        if resources is None:
            told = data.get("error")
            raise Trouble(
                Outcome.UNAVAILABLE,
                f"The ministry's list answered with an error inside a 200: {clip(told)}; run it "
                "again later, or name a folder in `path`.",
            )
        if not isinstance(resources, list):
            raise _new_list("its `resources` are no list")
        found = [self._resource(each, url) for each in resources if isinstance(each, dict)]
        files = [each for each in found if each is not None]
        if not files:
            raise Trouble(
                Outcome.SUSPECT,
                "The ministry's list names no CSV or ZIP, though months were published; run it "
                "again later, or name a folder in `path`.",
            )
        return files

    def _resource(self, told: Mapping[str, Any], url: str) -> _File | None:
        """A table in the list, or None for what is none (the dictionary is a PDF)."""
        address = told.get("url")
        if not isinstance(address, str) or told.get("state", "active") != "active":
            return None
        file = self._at(address)
        if PurePosixPath(file.name).suffix.lower() not in _TABLES:
            return None
        if urlsplit(file.address).netloc != urlsplit(url).netloc:
            return None
        modified = str(told.get("last_modified") or told.get("created") or "")
        version = _digest(f"{modified} {told.get('size')} {told.get('hash')}") if modified else ""
        return replace(file, version=version, modified=modified)

    def _file(self, state: _State, answer: Answer, path: Path) -> Iterator[Page]:
        """One file; what cannot be read is told at the end, so that the others are read before."""
        file, *left = state.todo
        state = replace(state, todo=tuple(left))
        if named := _DISPOSED.search(answer.headers.get("content-disposition", "")):
            name = unquote(named[1].strip())
            file = replace(file, name=name, publication=publication(name))
        version = file.version or _digest_of(path)
        reader = _Reader(self.settings.company, self.place.zone, file)
        last = Page()
        if not _known(state.files.get(file.publication, ""), version):
            state = replace(state, read=state.read + 1)
            try:
                for place, page in enumerate(reader.pages(path)):
                    if place:
                        had = state.had or bool(reader.ours)
                        yield replace(last, checkpoint=replace(state, had=had).mark)
                    last = page
            except Trouble as trouble:
                state = replace(state, bad=(*state.bad, trouble))
            else:
                short = "" if reader.opened else "s"
                state = replace(state, files={**state.files, file.publication: version + short})
        names = frozenset([*state.names, *reader.names][:_MOST_NAMES])
        state = replace(
            state,
            had=state.had or bool(reader.ours),
            ours=state.ours + reader.ours,
            rows=state.rows + reader.rows,
            names=names,
        )
        following = self._next(state)
        if following is not None:
            notes = [*last.notes, *state.notes]
            yield replace(last, checkpoint=state.mark, next=following, notes=notes)
        else:
            yield self._end(state, last)
            self._told(state)

    def _end(self, state: _State, last: Page | None = None) -> Page:
        """The last page: what is covered now, and that there is nothing where there is nothing."""
        if not state.bad and not state.had and state.read:
            raise self._nobody(state)
        if not state.read and not state.files:
            raise Trouble(
                Outcome.MISCONFIGURED,
                f"No file is of {self.settings.since} or later; set `since` to an earlier month.",
            )
        covered, holes = _covered(state.files, self.place.zone)
        missing = (f"no file was read for {', '.join(holes[:6])}",) if holes else ()
        last = last or Page()
        return replace(
            last,
            checkpoint=state.mark,
            unchanged=not state.read,
            empty=state.read > 0 and not state.ours,
            covered=covered,
            notes=[*last.notes, *state.notes, *missing],
        )

    def _nobody(self, state: _State) -> Trouble:
        """Nothing about this company and never before: the name is wrong, most likely."""
        if not state.rows:
            return Trouble(
                Outcome.SUSPECT,
                "The files hold no complaint at all; get them again from consumidor.gov.br.",
            )
        company = self.settings.company[0]
        close = difflib.get_close_matches(company, sorted(state.names), n=3)
        hint = f"did you mean {' or '.join(repr(clip(name)) for name in close)}? " if close else ""
        return Trouble(
            Outcome.MISCONFIGURED if close else Outcome.SUSPECT,
            f"None of {state.rows} complaints is about {company!r}; {hint}Write `company` as the "
            "column 'Nome Fantasia' has it.",
        )

    def _told(self, state: _State) -> None:
        """Raise what was wrong with files, after all the others were read."""
        if not state.bad:
            return
        first = state.bad[0]
        more = f" And {len(state.bad) - 1} more files like it." if len(state.bad) > 1 else ""
        raise Trouble(first.outcome, first.sentence + more)


class _Reader:
    """Turns the rows of one file into Feedback: ours, and nobody else's."""

    def __init__(self, companies: Sequence[str], zone: ZoneInfo, file: _File) -> None:
        self._companies = {fold(company) for company in companies}
        self._bare = {_bare(company) for company in companies}
        self._zone, self._file = zone, file
        self._is_ours: dict[str, bool] = {}
        self.ours = self.rows = 0
        self.opened = False

    @property
    def names(self) -> list[str]:
        """The companies that the file names."""
        return [name.strip() for name in self._is_ours if name.strip()]

    def pages(self, path: Path) -> Iterator[Page]:
        """Pages of our rows; raises Trouble."""
        with ExitStack() as resources:
            for name, place in tables(path, resources):
                inner = publication(name)
                own = self._file.publication
                whole = _is_month(own) or inner == own
                month = own if whole else inner if _is_month(inner) else f"{own}-{inner}"
                yield from self._table(place, name, month)

    def _table(self, path: Path, name: str, month: str) -> Iterator[Page]:
        with ExitStack() as resources:
            table = open_table(path, _layout(path), resources)
            mapped = _mapped(table, name)
            self.opened = self.opened or "opened" in mapped
            known = set(mapped.values())
            unknown = Counter(clip(column) for column in table.columns if column not in known)
            read = partial(self._feedback, mapped, month, Tally(resources), unknown)
            rows = self._about_us(iter(table.rows), mapped["company"], unknown)
            for batch in batches(rows, read, path):
                self.ours += len(batch)
                yield batch.page(notes=table.notes, unknown=dict(unknown))
                unknown.clear()

    def _about_us(self, rows: Iterator[Row], column: str, unknown: Counter[str]) -> Iterator[Row]:
        for row in rows:
            self.rows += 1
            if row.flaw:
                # Its cells may have slipped: ours, if our name stands anywhere in it.
                if any(self._matches(cell) for cell in row.cells.values()):
                    yield row
                else:
                    unknown["rows of others that cannot be read"] += 1
            elif self._about(row.cells.get(column, "")):
                yield row

    def _about(self, company: str) -> bool:
        if company not in self._is_ours:
            self._is_ours[company] = self._matches(company)
        return self._is_ours[company]

    def _matches(self, company: str) -> bool:
        """Whether this is our name, whatever case and blanks; letters may be lost to "?"."""
        told = _mended(company)
        if fold(told) in self._companies:
            return True
        return ("?" in told or "\ufffd" in told) and _bare(told) in self._bare

    def _feedback(
        self,
        mapped: Mapping[str, str],
        month: str,
        ids: Tally,
        unknown: Counter[str],
        row: Row,
    ) -> Feedback:
        """One complaint; raises ValueError with the reason when it is none."""
        told = {name: _mended(row.cells.get(column, "")).strip() for name, column in mapped.items()}
        opened, finished = self._day(told, "opened"), self._day(told, "finished")
        if opened is None and finished is None:
            raise ValueError("it has no date")
        note = "" if fold(told.get("note", "")) in _UNRATED else told["note"]
        stars, rating, scale = parse_stars(note) or (None, None, None)
        return Feedback(
            external_id=_id(told, self._written(finished), month, ids),
            kind=Kind.COMPLAINT,
            stars=stars,
            rating=rating,
            rating_scale=scale,
            category=told.get("problem_group")
            or told.get("problem")
            or told.get("subject")
            or None,
            published_at=opened or finished,
            attributes=self._life(told, finished, month, unknown),
            raw=json.dumps({k: v for k, v in row.cells.items() if v.strip()}, ensure_ascii=False),
        )

    def _day(self, told: Mapping[str, str], name: str) -> datetime | None:
        """A day in either of the two forms that stand in one row."""
        try:
            return parse_time(told.get(name, ""), self._zone)
        except ValueError as error:
            raise ValueError(f"{_COLUMNS[name]}: {told[name][:40]!r} is no date") from error

    def _written(self, day: datetime | None) -> str:
        return day.astimezone(self._zone).date().isoformat() if day else ""

    def _life(
        self,
        told: Mapping[str, str],
        finished: datetime | None,
        month: str,
        unknown: Counter[str],
    ) -> dict[str, str]:
        situation, verdict = fold(told.get("situation", "")), fold(told.get("verdict", ""))
        if situation and situation not in _SITUATIONS:
            unknown[f"Situação {clip(told['situation'])}"] += 1
        if verdict and verdict not in _VERDICTS:
            unknown[f"Avaliação {clip(told['verdict'])}"] += 1
        status = _SITUATIONS.get(situation, situation.replace(" ", "_"))
        more: dict[str, Any] = {name: told.get(name) for name in _ATTRIBUTES}
        return facts(
            _VERDICTS.get(verdict) or status,
            answered_at=self._day(told, "answered_at"),
            replied=yes(told.get("answered")) is True,
            finished_on=self._written(finished),
            contacted_company=yes(told.get("contacted_company")),
            refused=bool(told.get("refused_at")) or None,
            publication=month,
            **more,
        )


def publication(name: str) -> str:
    """What a file is a publication of: its month ("2026-08"), else its bare name."""
    whole = PurePosixPath(name)
    known = whole.suffix.lower() in _TABLES
    stem = _COPY.sub("", whole.stem if known else whole.name)
    for form in _MONTHS:
        found = list(form.finditer(stem))
        if len(found) == 1 and not re.search(r"\d", form.sub("", stem)):
            return f"{found[0]['year']}-{found[0]['month']}"
    return fold(stem).replace(" ", "-")[-40:] or "file"


def _is_month(publication: str) -> bool:
    return re.fullmatch(r"20\d\d-\d\d", publication) is not None


def _known(noted: str, version: str) -> bool:
    return bool(version) and noted.removesuffix("s") == version


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def _digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:8]


def _local(path: Path) -> _File:
    told = path.stat()
    return _File(
        name=path.name,
        publication=publication(path.name),
        version=_digest(f"{path.name} {told.st_size} {told.st_mtime_ns}"),
        address=str(path),
        modified=f"{told.st_mtime_ns:020}",
    )


def _new_list(why: str) -> Trouble:
    return Trouble(
        Outcome.LAYOUT_CHANGED,
        f"The ministry's list of files is new to this version ({why}); download the files and name "
        "their folder in `path`, or update this program.",
    )


def _bare(text: str) -> str:
    """Letters that every encoding keeps: what "São Gonçalo" and "S?o Gon?alo" share."""
    return "".join(char for char in text.casefold() if char.isascii() and char.isalnum())


def _mended(cell: str) -> str:
    """A cell that was written as UTF-8 and read as Latin-1 by whoever published it."""
    if "Ã" in cell or "Â" in cell:
        try:
            return cell.encode("latin-1").decode("utf-8")
        except (UnicodeEncodeError, UnicodeDecodeError):
            return cell
    return cell


def _keys(column: str) -> set[str]:
    """How a column's name is compared: its accents dropped, or lost."""
    return {fold(column).replace(" ", ""), _bare(column)}


_KNOWN = {key: name for name, column in _COLUMNS.items() for key in _keys(column)}


def _names_columns(cells: Sequence[str]) -> bool:
    return sum(not _keys(cell).isdisjoint(_KNOWN) for cell in cells) >= _SURE


def _layout(path: Path) -> Layout:
    """UTF-8 now, Latin-1 in old files; nobody's guess is needed."""
    encoding = None
    with ExitStack() as resources:
        start = resources.enter_context(path.open("rb")).read(2)
        plain = start not in {b"PK", b"\xff\xfe", b"\xfe\xff", b"\x1f\x8b"}
        if plain and first_bad(path, "utf-8", resources) is not None:
            windows = first_bad(path, "cp1252", resources) is None
            encoding = "cp1252" if windows else "latin-1"
    return Layout(encoding=encoding, header=_names_columns)


def _mapped(table: Table, name: str) -> dict[str, str]:
    """Field → column; raises Trouble where this is no file of consumidor.gov.br."""
    found: dict[str, str] = {}
    for column in table.columns:
        for key in _keys(column) & _KNOWN.keys():
            found.setdefault(_KNOWN[key], column)
    for needed in _NEEDED:
        if needed not in found:
            shown = ", ".join(map(clip, table.columns[:10])) or "none"
            raise Trouble(
                Outcome.MISCONFIGURED,
                f"{clip(name)} has no column {_COLUMNS[needed]!r}; its columns are: {shown}. Take "
                "the file of complaints as consumidor.gov.br publishes it.",
            )
    return found


def _id(told: Mapping[str, str], finished: str, month: str, ids: Tally) -> str:
    """Month and digest, and a number for each further row that is equal in all that lasts."""
    lasting = {name: _bare(told.get(name, "")) for name in _LASTING} | {"finished": finished}
    digest = hashlib.sha256(json.dumps(lasting).encode()).hexdigest()[:32]
    again = ids.count(digest)
    return f"{month}-{digest}" if again == 1 else f"{month}-{digest}-{again}"


def _covered(
    files: Mapping[str, str], zone: ZoneInfo
) -> tuple[tuple[datetime, datetime], list[str]]:
    """From when to when every complaint is known, and the months between that nobody read.

    A file holds what *ended* in its month. Where the layout tells the day a complaint was made,
    those made in the last weeks before its end are still to come.
    """
    months = sorted(filter(_is_month, files))
    if not months:
        day = datetime(2014, 1, 1, tzinfo=zone)
        return (day, day), []
    stretch, holes = [months[-1]], []
    month = _before(months[-1])
    while month >= months[0]:
        if month not in files:
            holes.append(month)
        elif not holes:
            stretch.append(month)
        month = _before(month)
    since = date.fromisoformat(f"{stretch[-1]}-01")
    until = (date.fromisoformat(f"{stretch[0]}-01") + timedelta(days=32)).replace(day=1)
    if not all(files[each].endswith("s") for each in stretch):
        until -= LONGEST
    start, end = (datetime.combine(day, time.min, tzinfo=zone) for day in (since, until))
    return (start, max(start, end)), holes[::-1]


def _before(month: str) -> str:
    return (date.fromisoformat(f"{month}-01") - timedelta(days=1)).isoformat()[:7]
