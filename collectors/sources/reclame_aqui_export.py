"""What a user of HugMe downloads by hand: Reclame Aqui's complaints as CSV or XLSX.

The API is paid for; the export comes with the account. Its columns change with the layout that
somebody chose, so they are found by their names, and a title or two may stand above them. Only
columns that are known here are kept: the others name people, ours among them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from ...storage.vocabulary import Feedback, Kind, Outcome, Reply
from ..batches import batches
from ..collector import Answer, Ask, Page, Trouble
from ..columns import fold
from ..complaints import (
    GONE,
    SCALE,
    decision,
    facts,
    known_state,
    moment,
    plain,
    score,
    state,
    unnamed,
    yes,
)
from ..judge import clip
from ..rows import Row, Table, open_table
from ..table_file import RowIds, TableFile, TableSettings

_SHOWN = 12
"""Columns that a sentence names."""
_SURE = 3
"""So many known names make a row the one that names the columns."""

_NAMES = {
    "id": "id hugme, id do hugme, hugme id, id ticket, ticket",
    "complaint_id": "id origem, id reclame aqui, id do reclame aqui, id reclameaqui, id ra, "
    "id site ra, id reclamacao, id da reclamacao, codigo da reclamacao",
    "published_at": "data reclamacao, data da reclamacao, data de criacao, criado em, data",
    "title": "titulo, titulo da reclamacao",
    "text": "texto da reclamacao, descricao da reclamacao, descricao, reclamacao, relato, texto",
    "status": "status ra, status reclame aqui, status da reclamacao, status",
    "desk_status": "status hugme",
    "reply": "resposta da empresa, resposta publica, resposta",
    "reply_at": "data de resposta, data da resposta, data resposta",
    "score": "nota, nota do consumidor, nota da avaliacao, nota do atendimento",
    "evaluated_at": "data avaliacao, data da avaliacao, data de avaliacao",
    "resolved": "seu problema foi resolvido, problema resolvido, foi resolvido, resolvido",
    "would_return": "voltaria a fazer negocio, voltaria a fazer negocios",
    "final_comment": "consideracao consumidor, consideracao do consumidor, "
    "consideracao final do consumidor, consideracao final",
    "final_comment_at": "data consideracao consumidor, data da consideracao do consumidor",
    "reason": "motivo da reclamacao ra, motivo da reclamacao, motivo ra",
    "category": "categoria ra, categoria",
    "problem": "problema ra, problema",
    "product": "produto ra, produto",
    "feeling": "sentimento ra, sentimento",
    "consumer_replies": "replicas na reclamacao ra, replicas na reclamacao, replicas",
    "frozen": "congelado, congelada",
    "deactivated_at": "data de desativacao ra, data de desativacao",
    "deactivation_reason": "motivo de desativacao ra, motivo de desativacao",
    "moderation": "moderacao status, status da moderacao",
    "moderation_reason": "moderacao motivo, motivo da moderacao",
    "moderation_at": "moderacao data da resposta",
    "city": "cidade",
    "state": "estado, uf",
    "channel": "origem, canal",
    "author": "nome, nome do consumidor, consumidor, cliente, nome do cliente",
    "url": "link, url, link da reclamacao",
}


def _key(column: str) -> str:
    """A column's name as it is compared: "Id HugMe", "ID Hugme" and "id_hugme" are one."""
    return fold(column).replace(" ", "")


_COLUMNS = {_key(name): field for field, names in _NAMES.items() for name in names.split(", ")}
_ATTRIBUTES = (
    *("problem", "product", "reason", "feeling", "city", "state", "channel", "desk_status"),
    *("deactivation_reason", "moderation_reason", "consumer_replies", "complaint_id"),
)
_SERIAL = re.compile(r"\d{5}(?:[.,]\d+)?")
_EXCEL = datetime(1899, 12, 30)  # noqa: DTZ001 - a spreadsheet knows no zone; `moment` adds it


class ReclameAquiExportSettings(TableSettings):
    """One file, replaced by each newer download."""


class ReclameAquiExport(TableFile[ReclameAquiExportSettings]):
    """The export's columns by their names, whatever the layout."""

    kind = "reclame_aqui_export"
    reads = ("path",)
    Settings = ReclameAquiExportSettings

    def parse(self, ask: Ask, answer: Answer, mark: Mapping[str, Any]) -> Iterator[Page]:  # noqa: ARG002 - the path says it all
        """Pages of some hundred complaints each."""
        if answer.path is None:
            raise ValueError("a whole file comes as a path")
        with ExitStack() as resources:
            layout = self.settings.layout(header=_names_columns)
            table = open_table(answer.path, layout, resources)
            mapped = _mapped(table, answer.path)
            left = [name for name in table.columns if name not in mapped.values()]
            strange: dict[str, int] = dict.fromkeys(map(clip, left), 1)
            read = partial(_feedback, mapped=mapped, ids=RowIds(resources), strange=strange)
            for batch in batches(iter(table.rows), read, answer.path):
                yield batch.page(
                    checkpoint={"rows": batch.rows},
                    notes=table.notes,
                    unknown=dict(strange),
                    empty=not batch.rows,
                )
                strange.clear()


def _names_columns(cells: Sequence[str]) -> bool:
    return sum(_key(cell) in _COLUMNS for cell in cells) >= _SURE


def _mapped(table: Table, path: Path) -> dict[str, str]:
    """Field → column; raises Trouble where this is no export of complaints."""
    by_name = {_key(column): column for column in reversed(table.columns)}
    found: dict[str, str] = {}
    for field, names in _NAMES.items():
        keys = map(_key, names.split(", "))
        column = next((by_name[key] for key in keys if key in by_name), None)
        if column is not None and column not in found.values():
            found[field] = column
    for field, what in {"published_at": "Data Reclamação", "text": "Texto da Reclamação"}.items():
        if field not in found and not (field == "text" and "title" in found):
            shown = ", ".join(map(clip, table.columns[:_SHOWN])) or "none"
            raise Trouble(
                Outcome.MISCONFIGURED,
                f"{path.name} has no column {what!r}; its columns are: {shown}. Export the "
                "complaints from HugMe again with that column, or read it with kind 'file'.",
            )
    return found


def _feedback(
    row: Row, *, mapped: Mapping[str, str], ids: RowIds, strange: dict[str, int]
) -> Feedback:
    """One complaint; raises ValueError with the reason when it is none."""
    told = {field: row.cells.get(column, "").strip() for field, column in mapped.items()}
    name = " ".join(told.get("author", "").split())
    status = state(None, told.get("status"))
    if status and not known_state(status):
        label = f"status {clip(told['status'])}"
        strange[label] = strange.get(label, 0) + 1
    rating = score(told.get("score"))
    reply_at, evaluated_at = _time(told, "reply_at"), _time(told, "evaluated_at")
    later = ("final_comment_at", "deactivated_at", "moderation_at")
    changes = [reply_at, evaluated_at, *(_time(told, each) for each in later)]
    reply = unnamed(plain(told.get("reply")), name, by_brand=True)
    url = told.get("url", "")
    return Feedback(
        external_id=_id(told, row, ids),
        kind=Kind.COMPLAINT,
        title=unnamed(plain(told.get("title")), name),
        text=unnamed(plain(told.get("text")), name),
        rating=rating,
        rating_scale=SCALE if rating is not None else None,
        category=told.get("category") or told.get("reason") or None,
        published_at=_time(told, "published_at"),
        edited_at=max((at for at in changes if at), default=None),
        author=name or None,
        url=url if url.startswith(("https://", "http://")) else None,
        reply=Reply(text=reply, at=reply_at) if reply else None,
        attributes=facts(
            status,
            answered_at=reply_at,
            replied=bool(reply),
            rating=rating,
            evaluated_at=evaluated_at,
            resolved=yes(told.get("resolved")),
            would_return=yes(told.get("would_return")),
            final_comment=unnamed(plain(told.get("final_comment")), name),
            frozen=(yes(told.get("frozen")) is True or status == "frozen") or None,
            deactivated=(bool(told.get("deactivated_at")) or status in GONE) or None,
            moderation=decision(told.get("moderation")),
            **{each: told[each] for each in _ATTRIBUTES if told.get(each, "0") != "0"},
        ),
        raw=_raw(row, mapped, name),
    )


def _time(told: Mapping[str, str], field: str) -> datetime | None:
    """A time in any form that spreadsheets leave: day first, ISO, or days since 1899."""
    cell = told.get(field, "")
    if cell in {"", "-", "--"}:
        return None
    if _SERIAL.fullmatch(cell):
        cell = (_EXCEL + timedelta(days=float(cell.replace(",", ".")))).isoformat()
    try:
        return moment(cell)
    except ValueError as error:
        raise ValueError(f"{field}: {cell[:40]!r} is no date") from error


def _id(told: Mapping[str, str], row: Row, ids: RowIds) -> str:
    """HugMe's number of the ticket, else the site's; else what nobody can change.

    Raises ValueError when another row has it.
    """
    column = next((field for field in ("id", "complaint_id") if field in told), None)
    if column is not None:
        return ids.own(told[column], row.cells)
    return ids.of([told.get(field, "") for field in ("published_at", "title", "city", "state")])


def _raw(row: Row, mapped: Mapping[str, str], name: str) -> str:
    """What is known of the row, without the consumer."""
    of_brand = mapped.get("reply")
    kept = {
        column: unnamed(row.cells[column], name, by_brand=column == of_brand)
        for field, column in mapped.items()
        if field != "author" and row.cells.get(column, "").strip()
    }
    return json.dumps(kept, ensure_ascii=False)
