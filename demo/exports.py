"""The brand's own exports, as files over HTTP: each kind of system writes them its own way."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence

from .feedback import ZONE, Piece


def survey(pieces: Sequence[Piece]) -> bytes:
    """The after-purchase survey as Brazilian spreadsheets save it: semicolons, dd/mm/yyyy, BOM."""
    head = ("id_resposta", "data", "nota", "comentario", "idioma", "loja", "autor")
    rows = (
        (
            piece.id,
            piece.at.astimezone(ZONE).strftime("%d/%m/%Y %H:%M"),
            _stars(piece),
            piece.text,
            piece.lang,
            piece.details.get("store", "Online"),
            piece.author,
        )
        for piece in pieces
    )
    return b"\xef\xbb\xbf" + _table(head, rows, ";")


def stores(pieces: Sequence[Piece]) -> bytes:
    """Reviews of the two stores: tab-separated, ISO dates."""
    head = ("id", "loja", "estrelas", "comentario", "data", "autor")
    rows = (
        (
            piece.id,
            piece.details["store"],
            _stars(piece),
            piece.text,
            piece.at.astimezone(ZONE).isoformat(timespec="seconds"),
            piece.author,
        )
        for piece in pieces
    )
    return _table(head, rows, "\t")


def complaints(pieces: Sequence[Piece]) -> bytes:
    """The complaint site's export: JSON Lines, no stars, the brand's reply where there is one."""
    lines = (json.dumps(_complaint(piece), ensure_ascii=False) for piece in pieces)
    return "".join(f"{line}\n" for line in lines).encode()


def _complaint(piece: Piece) -> dict[str, object]:
    reply = piece.reply
    return {
        "id": piece.id,
        "criado_em": piece.at.isoformat(),
        "categoria": piece.details["category"],
        "titulo": piece.title,
        "texto": piece.text,
        "autor": piece.author,
        "cidade": piece.details["city"],
        "pedido": piece.details.get("order"),
        "status": "Respondida" if reply else "Não respondida",
        "resposta": {"texto": reply.text, "em": reply.at.isoformat()} if reply else None,
    }


def _stars(piece: Piece) -> str:
    return "" if piece.stars is None else str(piece.stars)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], delimiter: str) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter)
    writer.writerow(head)
    writer.writerows(rows)
    return out.getvalue().encode()


EXPORTS: dict[str, tuple[str, str, Callable[[Sequence[Piece]], bytes]]] = {
    "/files/pesquisa.csv": ("pesquisa", "text/csv; charset=utf-8", survey),
    "/files/reclamacoes.jsonl": ("reclamacoes", "application/x-ndjson", complaints),
    "/files/lojas.tsv": ("lojas", "text/tab-separated-values; charset=utf-8", stores),
}
"""Path → source, content type, writer."""
