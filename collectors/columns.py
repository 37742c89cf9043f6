"""Columns by the names people give them in Portuguese, Spanish and English. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence

_NAMES = {
    "id": "id, review id, id da avaliacao, response id, id resposta, codigo, uuid, protocolo, "
    "ticket, ticket id",
    "text": "text, texto, comentario, comentarios, comment, comments, review, review text, "
    "feedback, mensagem, mensaje, message, avaliacao, opiniao, opinion, resena, relato, "
    "reclamacao, reclamo, queja, descricao, descripcion, description, body, content, conteudo, "
    "resposta aberta",
    "title": "title, titulo, assunto, asunto, subject, review title, headline",
    "stars": "stars, estrelas, estrellas, rating, nota, score, note, puntuacion, pontuacao, "
    "calificacion, avaliacao geral, valoracion, nps, csat",
    "published_at": "published at, date, data, fecha, created at, datetime, timestamp, "
    "data da avaliacao, data de criacao, criado em, submitted at, time, data hora, "
    "data da resposta, fecha de creacao, review date, quando",
    "edited_at": "edited at, updated at, atualizado em, editado em, actualizado en",
    "author": "author, autor, name, nome, nombre, cliente, customer, user, usuario, reviewer, "
    "nickname, apelido",
    "url": "url, link, permalink, endereco web",
    "language": "language, idioma, lang, lingua",
    "category": "category, categoria, motivo, tema, topico",
    "reply": "reply, resposta, respuesta, response, resposta da empresa, "
    "respuesta de la empresa, developer reply",
    "reply_at": "reply at, reply date, respondido em, data resposta, fecha respuesta",
}
WELL_KNOWN: Mapping[str, Sequence[str]] = {
    name: names.split(", ") for name, names in _NAMES.items()
}
"""Field → names of columns, folded, the likeliest first."""
_PERSONAL = (
    "email, e mail, mail, correo, cpf, cnpj, rg, dni, curp, telefone, fone, telefono, phone, "
    "celular, whatsapp, endereco, direccion, address, cep, nome, nombre, name, sobrenome, "
    "apellido, nome completo, full name, cliente, nome do cliente, customer name, first name, "
    "last name, primeiro nome, ip, data de nascimento, fecha de nacimiento, birth date, birthday"
)
PERSONAL = set(_PERSONAL.split(", "))
"""Names of columns that name people, folded: never kept as attributes."""


def fold(name: str) -> str:
    """A column's name without case, accents and punctuation."""
    plain = unicodedata.normalize("NFKD", re.sub(r"([a-z])([A-Z])", r"\1 \2", name).casefold())
    plain = "".join(char for char in plain if not unicodedata.combining(char))
    return " ".join(re.findall(r"[a-z0-9]+", plain))


def well_known(columns: Sequence[str]) -> dict[str, str]:
    """Field → column by the names people give them in Portuguese, Spanish and English."""
    by_name = {fold(column): column for column in reversed(columns)}
    mapped: dict[str, str] = {}
    for name, names in WELL_KNOWN.items():
        free = (by_name[known] for known in names if known in by_name)
        column = next((column for column in free if column not in mapped.values()), None)
        if column is not None:
            mapped[name] = column
    return mapped
