"""The monthly files of consumidor.gov.br as they have been written over the years."""

from __future__ import annotations

import csv
import io
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from .feedback import ZONE, Piece
from .wire import cursor

PUBLISHED_ON = 5
"""Day of the following month on which a month's file appears."""
BRAND = "Tucumã Casa"
SHORT = [
    "Região",
    "UF",
    "Cidade",
    "Sexo",
    "Faixa Etária",
    "Data Finalização",
    "Tempo Resposta",
    "Nome Fantasia",
    "Segmento de Mercado",
    "Área",
    "Assunto",
    "Grupo Problema",
    "Problema",
    "Como Comprou Contratou",
    "Procurou Empresa",
    "Respondida",
    "Situação",
    "Avaliação Reclamação",
    "Nota do Consumidor",
]
LONG = [
    "Gestor",
    "Canal de Origem",
    "Região",
    "UF",
    "Cidade",
    "Sexo",
    "Faixa Etária",
    "Ano Abertura",
    "Mês Abertura",
    "Data Abertura",
    "Data Resposta",
    "Data Análise",
    "Data Recusa",
    "Data Finalização",
    "Prazo Resposta",
    "Prazo Analise Gestor",
    "Tempo Resposta",
    "Nome Fantasia",
    "Segmento de Mercado",
    "Área",
    "Assunto",
    "Grupo Problema",
    "Problema",
    "Como Comprou Contratou",
    "Procurou Empresa",
    "Respondida",
    "Situação",
    "Avaliação Reclamação",
    "Nota do Consumidor",
    "Análise da Recusa",
]
OTHERS = (
    ("Lojas Cajuí", "Varejo", "Produtos Eletrodomésticos e Eletrônicos"),
    ("Banco Igarapé ", "Bancos, Financeiras e Administradoras de Cartão", "Serviços Financeiros"),
    ("Telefonia Sabiá", "Operadoras de Telecomunicações", "Telecomunicações"),
    ("Asa Norte Linhas Aéreas", "Transporte Aéreo", "Transportes"),
    ("Tucumán Viagens", "Viagens, Turismo e Hospedagem", "Turismo/Viagens"),
)
"""Invented neighbours in the same file: name, segment, area."""
NEIGHBOURS = 24
"""Their rows in each file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """One published file: the month of the complaints' end, and how it is written."""

    first: date
    name: str
    columns: Sequence[str]
    encoding: str
    zipped: bool = False

    @property
    def code(self) -> str:
        """What the download's address calls it."""
        return cursor(self.first.year * 100 + self.first.month)

    @property
    def published(self) -> datetime:
        """When it first appeared."""
        after = (self.first + timedelta(days=32)).replace(day=PUBLISHED_ON)
        return datetime(after.year, after.month, after.day, 9, tzinfo=ZONE)


# The layouts and encodings that the site has gone through stand side by side here.
MONTHS = (
    Month(
        first=date(2026, 7, 1),
        name="finalizadas_2026-07.csv",
        columns=SHORT,
        encoding="latin-1",
    ),
    Month(
        first=date(2026, 8, 1),
        name="basecompleta2026-08.csv",
        columns=LONG,
        encoding="utf-8-sig",
    ),
    Month(
        first=date(2026, 9, 1),
        name="basecompleta2026-09.zip",
        columns=LONG,
        encoding="utf-8-sig",
        zipped=True,
    ),
    Month(
        first=date(2026, 10, 1),
        name="basecompleta2026-10.csv",
        columns=LONG,
        encoding="utf-8-sig",
    ),
    Month(
        first=date(2026, 11, 1),
        name="finalizadas_2026-11.csv",
        columns=SHORT,
        encoding="utf-8-sig",
    ),
)


def closed(piece: Piece) -> date:
    """The day on which the complaint ended: its month is its file."""
    return date.fromisoformat(piece.details["closed"])


def listed(piece: Piece) -> datetime | None:
    """When a row came late into a file that had been published before."""
    late = piece.details.get("listed")
    return datetime.fromisoformat(late) if late else None


def written(month: Month, pieces: Sequence[Piece]) -> bytes:
    """The file with the brand's complaints and its neighbours'."""
    rows = [_cells(piece) for piece in pieces]
    rows += [_neighbour(month.first, number) for number in range(NEIGHBOURS)]
    # Nobody's rows stand together in the real files either.
    rows.sort(key=lambda row: (row["closed"], zlib.crc32(repr(sorted(row.items())).encode())))
    body = _table(month.columns, rows).encode(month.encoding, "replace")
    return _zip(month, body) if month.zipped else body


def _cells(piece: Piece) -> dict[str, str]:
    """What the file says of one of the brand's complaints, by the short names of the columns."""
    details = piece.details
    opened = piece.at.astimezone(ZONE).date()
    answered = int(details.get("days", "-1"))
    return {
        "place": details["city"],
        "sex": details["sex"],
        "age": details["age"],
        "opened": opened.isoformat(),
        "answered": (opened + timedelta(days=answered)).isoformat() if answered >= 0 else "",
        "closed": closed(piece).isoformat(),
        "days": str(answered) if answered >= 0 else "",
        "company": details.get("company", BRAND),
        "segment": "Comércio Eletrônico",
        "area": details.get("area", "Demais Produtos "),
        "subject": details["subject"],
        "group": details["group"],
        "problem": details["problem"],
        "bought": details.get("bought", "Internet"),
        "asked": details.get("asked", "S"),
        "result": details["result"],
        "stars": str(piece.stars or ""),
        "refused": details.get("refused", ""),
    }


def _neighbour(month: date, number: int) -> dict[str, str]:
    """A row about another company."""
    seed = zlib.crc32(f"{month} {number}".encode())
    company, segment, area = OTHERS[seed % len(OTHERS)]
    ended = month + timedelta(days=seed % 28)
    days = seed // 28 % 10
    opened = ended - timedelta(days=days + 12)
    result = ("Resolvida", "Não Resolvida", "Não Avaliada")[seed // 280 % 3]
    stars = "" if result == "Não Avaliada" else str(seed // 840 % 5 + 1)
    return {
        "place": ("São Paulo - SP", "S?o Gon?alo - RJ", "Belém - PA", "Goiânia - GO")[seed % 4],
        "sex": "MFO"[seed % 3],
        "age": "entre 31 a 40 anos",
        "opened": opened.isoformat(),
        "answered": (opened + timedelta(days=days)).isoformat(),
        "closed": ended.isoformat(),
        "days": str(days),
        "company": company,
        "segment": segment,
        "area": area,
        "subject": "Cobrança; contestação" if seed % 7 == 0 else "Atendimento, SAC",
        "group": "Cobrança / Contestação",
        "problem": "Cobrança indevida / abusiva",
        "bought": "Internet",
        "asked": "S",
        "result": result,
        "stars": stars,
        "refused": "",
    }


REGIONS = {
    "PE": "NE",
    "PB": "NE",
    "AL": "NE",
    "RN": "NE",
    "CE": "NE",
    "BA": "NE",
    "SP": "SE",
    "RJ": "SE",
    "MG": "SE",
    "ES": "SE",
    "PR": "S ",
    "SC": "S ",
    "RS": "S ",
    "AM": "N ",
    "PA": "N ",
    "DF": "CO",
    "GO": "CO",
}
"""State → region, with the blanks that the real file has behind one letter."""


def _table(columns: Sequence[str], rows: Sequence[Mapping[str, str]]) -> str:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, columns, delimiter=";", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(_named(row, iso=columns is LONG) for row in rows)
    return out.getvalue()


def _named(row: Mapping[str, str], *, iso: bool) -> dict[str, str]:
    """The row under the columns' real names; ``iso`` writes the last date its own way."""
    city, _, state = row["place"].rpartition(" - ")
    opened = date.fromisoformat(row["opened"])
    rated = row["result"] != "Não Avaliada"
    return {
        "Gestor": "Programa Estadual de Proteção e Defesa do Consumidor",
        "Canal de Origem": "Plataforma Web",
        "Região": REGIONS[state],
        "UF": state,
        "Cidade": city,
        "Sexo": row["sex"],
        "Faixa Etária": row["age"],
        "Ano Abertura": str(opened.year),
        "Mês Abertura": str(opened.month),
        "Data Abertura": _day(row["opened"]),
        "Data Resposta": _day(row["answered"]),
        "Data Análise": _day(row["answered"]) if row["refused"] else "",
        "Data Recusa": _day(row["answered"]) if row["refused"] else "",
        "Data Finalização": row["closed"] if iso else _day(row["closed"]),
        "Prazo Resposta": f"{opened + timedelta(days=10):%d/%m/%Y}",
        "Prazo Analise Gestor": "15" if row["refused"] else "",
        "Tempo Resposta": row["days"],
        "Nome Fantasia": row["company"],
        "Segmento de Mercado": row["segment"],
        "Área": row["area"],
        "Assunto": row["subject"],
        "Grupo Problema": row["group"],
        "Problema": row["problem"],
        "Como Comprou Contratou": row["bought"],
        "Procurou Empresa": row["asked"],
        "Respondida": "S" if row["answered"] else "N",
        "Situação": "Finalizada avaliada" if rated else "Finalizada não avaliada",
        "Avaliação Reclamação": row["result"],
        "Nota do Consumidor": row["stars"],
        "Análise da Recusa": row["refused"],
    }


def _day(iso: str) -> str:
    return f"{date.fromisoformat(iso):%d/%m/%Y}" if iso else ""


def _zip(month: Month, body: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        stamp = (month.first.year, month.first.month, month.first.day, 0, 0, 0)
        inside = zipfile.ZipInfo(month.name.replace(".zip", ".csv"), stamp)
        archive.writestr(inside, body, zipfile.ZIP_DEFLATED)
    return out.getvalue()
