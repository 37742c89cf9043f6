"""A complaint as Reclame Aqui's API writes it, with everything that has become of it."""

from __future__ import annotations

import zlib
from datetime import UTC, datetime

from .feedback import Piece, Step

COMPANY = {"companyId": "tucuma-casa", "name": "Tucumã Casa"}
STATUS = {
    5: "Não respondido",
    6: "Respondido",
    7: "Réplica consumidor",
    8: "Réplica empresa",
    10: "Congelado",
    12: "Desativado pelo consumidor",
    18: "Avaliado resolvido",
    19: "Avaliado não resolvido",
}
DESK = {1: "Pendente", 2: "Respondido", 3: "Fechado", 21: "Novo", 22: "Aguardando avaliação"}
INTERACTIONS = {
    "manifestation": (1, "Manifestação"),
    "company": (2, "Resposta"),
    # Public clients name no number for this one; 4 is free in their tables.
    "consumer": (4, "Réplica do consumidor"),
    "evaluation": (11, "Avaliação"),
    "moderation": (151, "Moderação automática"),
}
"""A step → the type of its interaction; the other steps leave none."""
REASONS = {"1": "Outra empresa", "4": "Reclamação em duplicidade", "5": "Dados pessoais no texto"}


def ticket(piece: Piece) -> dict[str, object]:
    """The ticket with everything that has become of it so far."""
    evaluation = _last(piece, "evaluation")
    judged = evaluation.details if evaluation else {}
    status = _status(piece)
    replied = piece.reply
    return {
        "id": number(piece),
        "source_external_id": piece.id,
        "source": {"id": 1, "name": "ReclameAqui"},
        "complaint_title": piece.title,
        "complaint_content": piece.text,
        "complaint_response_content": replied.text if replied else None,
        "creation_date": _time(piece.at),
        "last_modification_date": _time(piece.changed),
        "customer": _customer(piece),
        "company": COMPANY,
        "ra_status": {"id": status, "name": STATUS[status]},
        "hugme_status": _desk(piece, evaluation),
        "request_evaluation": bool(replied and not evaluation),
        "request_moderation": _last(piece, "moderation") is not None,
        "resolved_issue": _yes(judged.get("resolved")),
        "back_doing_business": _yes(judged.get("back")),
        "rating": judged.get("score"),
        "rating_date": _time(evaluation.at) if evaluation else None,
        "consumer_consideration": evaluation.text if evaluation else None,
        "consumer_consideration_date": _time(evaluation.at) if evaluation else None,
        "company_consideration": None,
        "company_consideration_date": None,
        "interactions": _interactions(piece),
        "interactions_not_readed_count": 0,
        "comments_count": 0,
        "moderation": _moderation(piece),
        "ra_reason": piece.details["category"],
        "ra_feeling": piece.details.get("feeling", "Irritado"),
        "categories": [{"id": _code(piece.details["category"]), "name": piece.details["category"]}],
        "public_treatment_time": _minutes(piece),
        "private_treatment_time": None,
        "whatsapp": {"evaluation": None, "sent": False},
        "active": status != 12,  # noqa: PLR2004 (the table of states stands above)
        "frozen": _last(piece, "frozen") is not None,
    }


def _customer(piece: Piece) -> dict[str, object]:
    details = piece.details
    city, _, state = details["city"].partition(" - ")
    return {
        "id": _code(details["cpf"]),
        "name": piece.author,
        "email": [details["email"]],
        "cpf": [details["cpf"]],
        "phone_numbers": [details["phone"]],
        "city": [{"id": _code(city), "name": city}],
        "state": [{"id": _code(state), "name": state}],
    }


def _status(piece: Piece) -> int:
    """Reclame Aqui's own word for where the complaint stands."""
    if _last(piece, "deactivated"):
        return 12
    if evaluation := _last(piece, "evaluation"):
        return 18 if evaluation.details["resolved"] == "true" else 19
    if _last(piece, "frozen"):
        return 10
    talk = [step.kind for step in piece.steps if step.kind in {"company", "consumer"}]
    if talk:
        return 7 if talk[-1] == "consumer" else 8
    return 6 if piece.reply else 5


def _desk(piece: Piece, evaluation: Step | None) -> dict[str, object]:
    """The same from the desk of the company."""
    status = _status(piece)
    desk = {5: 21, 6: 22, 7: 1, 8: 22, 10: 2, 12: 3}.get(status, 3 if evaluation else 2)
    return {"id": desk, "name": DESK[desk]}


def _interactions(piece: Piece) -> list[dict[str, object]]:
    said = [Step(at=piece.at, kind="manifestation", text=piece.text)]
    if piece.reply:
        said.append(Step(at=piece.reply.at, kind="company", text=piece.reply.text))
    said += [step for step in piece.steps if step.kind in INTERACTIONS]
    said.sort(key=lambda step: step.at)
    return [_interaction(piece, place, step) for place, step in enumerate(said, 1)]


def _interaction(piece: Piece, place: int, step: Step) -> dict[str, object]:
    kind, name = INTERACTIONS[step.kind]
    own = f"{number(piece)}-{place}"
    responsible = {"id": 31, "name": "Equipe Tucumã Casa"} if step.kind == "company" else None
    return {
        "ticket_interaction_id": own,
        "ticket_interaction_type_id": kind,
        "ticket_interaction_name": name,
        "name": piece.author if step.kind in {"manifestation", "consumer", "evaluation"} else None,
        "message": step.text,
        "privacy": False,
        "creation_date": _time(step.at),
        "modification_date": _time(step.at),
        "responsible": responsible,
        "details": [
            {
                "ticket_detail_id": f"{own}-{row}",
                "ticket_detail_type_id": row,
                "name": field,
                "value": value,
                "creation_date": _time(step.at),
            }
            for row, (field, value) in enumerate(step.details.items(), 1)
        ],
    }


def _moderation(piece: Piece) -> dict[str, object] | None:
    steps = [step for step in piece.steps if step.kind == "moderation"]
    if not steps:
        return None
    asked, decided = steps[0], steps[-1] if len(steps) > 1 else None
    return {
        "status": decided.details["status"] if decided else "PENDENTE",
        "reason": REASONS[asked.details["reason"]],
        "request_date": _time(asked.at),
        "response_date": _time(decided.at) if decided else None,
        "user": "Equipe Tucumã Casa",
    }


def _last(piece: Piece, kind: str) -> Step | None:
    return next((step for step in reversed(piece.steps) if step.kind == kind), None)


def _minutes(piece: Piece) -> int | None:
    return int((piece.reply.at - piece.at).total_seconds() // 60) if piece.reply else None


def number(piece: Piece) -> int:
    """The desk's own number of the ticket, which is not the complaint's id on the site."""
    return int(piece.details["ticket"])


def _yes(value: str | None) -> bool | None:
    return None if value is None else value == "true"


def _code(name: str) -> int:
    return zlib.crc32(name.encode()) % 100_000


def _time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.000Z"
