"""Reclame Aqui through the API it sells to the companies complained about (HugMe).

Ten calls a minute, so ``/count`` is asked first and a quiet day costs one call. A complaint lives
on for weeks (answer, rejoinders, evaluation, moderation, freezing), and each step moves its
``last_modification_date``: what changed since the last run, and a day more, is read by id. The
consumer's name, CPF, e-mail and phone come with every ticket: they are dropped at the door, or kept
sealed where the configuration wants contacts.
"""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any
from urllib.parse import urlencode

from pydantic import AfterValidator, Field

from ...config import SecretValue
from ...storage.vocabulary import Feedback, Kind, Outcome, Reply
from ..access import Token
from ..collector import (
    Answer,
    Ask,
    Collector,
    Options,
    Page,
    Place,
    Rejected,
    Trait,
    Trouble,
    WebAddress,
)
from ..columns import fold
from ..complaints import (
    GONE,
    SCALE,
    ZONE,
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

SIZE = 50
"""Tickets on a page, the API's most."""

_SITE = "https://www.reclameaqui.com.br"
_TICKETS = "/api/ticket/v1/tickets"
_TOKEN = "/api/auth/oauth/token?grant_type=client_credentials"  # noqa: S105 - a path, no secret
_COMPANY, _SITE_ID = 2, 25
"""The interaction that is a public answer; the detail that holds the site's own id."""
_PRIVATE = (3, 6)
_PERSONAL = {
    *("customer", "user", "account", "attached", "historical", "sticky_notes", "rafone"),
    *("whatsapp", "duplicate_ticket", "duplicate_tiqt", "extra_data", "personalized_fields"),
    *("autos", "contact_us", "tags"),
}
"""Fields about people, ours among them: read where needed, kept nowhere."""
_KEPT = {
    *("id", "_id", "source_external_id", "source", "information_source", "company", "ra"),
    *("ra_status", "hugme_status", "hugme_ticket_type", "feed_type", "last_feeling"),
    *("favorable_assessment", "can_like", "commentary", "active", "filed", "frozen", "rule_id"),
    *("creation_date", "insertion_date", "last_modification_date", "closed_date"),
    *("complaint_title", "complaint_content"),
    *("complaint_response_content", "complaint_response_date"),
    *("request_moderation", "request_evaluation", "moderation", "ra_reason", "ra_feeling"),
    *("categories", "interactions", "interactions_count", "interactions_not_readed_count"),
    *("customer_interactions_count", "company_interactions_count", "comments_count"),
    *("redistributions_count", "redistributions_reason", "ticket_moderations_count"),
    *("ticket_messages_count", "assignment_count", "last_replica_date"),
    *("resolved_issue", "back_doing_business", "rating", "rating_date", "rating_time"),
    *("rating_without_response", "public_treatment_time", "private_treatment_time"),
    *("consumer_consideration", "consumer_consideration_date"),
    *("company_consideration", "company_consideration_date"),
}
_OF_INTERACTION = (
    *("ticket_interaction_id", "ticket_interaction_type_id", "ticket_interaction_name"),
    *("message", "privacy", "creation_date", "modification_date"),
)
_SPOKEN = (
    *("complaint_title", "complaint_content", "complaint_response_content"),
    *("consumer_consideration", "company_consideration"),
)


def _company(value: str | int) -> str:
    told = str(value).strip()
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,40}", told):
        raise ValueError(f"{told!r} is no company id; write the one that HugMe shows, like '90417'")
    return told


def _page_name(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9-]{2,120}", value):
        raise ValueError(
            f"{value!r} is no page of a company; write the part after '/empresa/' of its address "
            "at reclameaqui.com.br, like 'tucuma-casa'"
        )
    return value


class ReclameAquiSettings(Options):
    """One account. ``company`` is for those that look after several, ``since`` bounds the past.

    ``company_page`` is the company's name in the site's addresses, for links back to complaints.
    """

    base_url: WebAddress = "https://app.hugme.com.br"
    client_id: SecretValue
    client_secret: SecretValue
    company: Annotated[str | int, AfterValidator(_company)] | None = None
    company_page: Annotated[str, AfterValidator(_page_name)] | None = None
    since: date | None = None
    overlap_hours: float = Field(default=24, ge=0, le=24 * 31)
    # Ten calls a minute, the token's among them, for the whole account.
    delay: float | None = Field(default=6.5, ge=0, le=3600)
    backoff: float = Field(default=30, ge=0, le=600)


class ReclameAqui(Collector[ReclameAquiSettings]):
    """Counts what changed, then reads it by id, fifty at a time."""

    kind = "reclame_aqui"
    traits = frozenset({Trait.PAGED, Trait.POLLED})
    reads = ("company", "company_page", "client_id")
    Settings = ReclameAquiSettings
    part_of = "company"
    robots = False

    def __init__(self, settings: ReclameAquiSettings, place: Place) -> None:
        super().__init__(settings, place)
        packed = base64.b64encode(f"{settings.client_id}:{settings.client_secret}".encode())
        self.access = Token(
            settings.base_url + _TOKEN,
            lambda _: {},
            headers={"Authorization": f"Basic {packed.decode()}"},
            refused=_no_token,
        )

    def first(self, mark: Mapping[str, Any]) -> Ask:
        """How many there are to read; or the next page of a reading that was broken off."""
        now = {} if self.started is None else {"now": self.started.isoformat()}
        if mark.get("page") and mark.get("next"):
            # Whole pages may have moved down since: what begins alike now is no circle.
            note = {**_note(mark), **now, "top": "", "resumed": True}
            return self._page({**note, "page": mark["page"] + 1})
        return self._count({"known": mark.get("known"), "next": now.get("now"), **now})

    def _count(self, step: Mapping[str, Any]) -> Ask:
        query = urlencode(self._filters(step))
        url = f"{self.settings.base_url}{_TICKETS}/count{query and '?'}{query}"
        return Ask(url=url, step={**step, "page": 0})

    def _filters(self, step: Mapping[str, Any]) -> dict[str, str]:
        found = {}
        if self.settings.company is not None:
            found["company.id[eq]"] = str(self.settings.company)
        if self.settings.since is not None:
            start = datetime.combine(self.settings.since, time.min, tzinfo=ZONE)
            found["creation_date[gte]"] = _written(start)
        if step.get("known"):
            overlap = timedelta(hours=self.settings.overlap_hours)
            changed = datetime.fromisoformat(step["known"]) - overlap
            found["last_modification_date[gte]"] = _written(changed)
        return found

    def _page(self, step: Mapping[str, Any]) -> Ask:
        """One page in the order of ids: an order by dates would move while it is read."""
        paging = {"page[size]": SIZE, "page[number]": step["page"], "sort[id]": "ASC"}
        query = urlencode({**self._filters(step), **paging})
        return Ask(url=f"{self.settings.base_url}{_TICKETS}?{query}", step=step)

    def refusal(self, ask: Ask, answer: Answer) -> Trouble | None:  # noqa: ARG002 - all alike
        """What the API's own code says."""
        return _trouble(_json(answer.body))

    def parse(self, ask: Ask, answer: Answer, mark: Mapping[str, Any]) -> Iterator[Page]:
        """The count, or one page of tickets."""
        data = _json(answer.body)
        if data is None or "data" not in data or data.get("success") is False:
            raise _trouble(data) or _new_layout("no `data` in it")
        if ask.step["page"] == 0:
            yield self._counted(ask.step, data["data"], mark)
            return
        yield from self._tickets(ask.step, data, mark)

    def _counted(self, step: Mapping[str, Any], count: object, mark: Mapping[str, Any]) -> Page:
        if isinstance(count, bool) or not str(count).isdecimal():
            raise _new_layout(f"the count is {clip(count)!r}")
        if int(str(count)):
            begun = {**_note(step), **_had(step, mark), "page": 0}
            return Page(checkpoint=begun, next=self._page({**step, "page": 1}))
        if step.get("known"):
            return Page(unchanged=True, checkpoint={**_done(step), **_had(step, mark)})
        if had := mark.get("tickets"):
            raise Trouble(
                Outcome.SUSPECT,
                f"Reclame Aqui counts no complaint where there were {had} before; nothing was "
                "deleted here: look into HugMe, or run it again later.",
            )
        if self.settings.company is not None:
            raise Trouble(
                Outcome.MISCONFIGURED,
                f"Reclame Aqui shows this account no complaint about company "
                f"{self.settings.company}; mend `company`, or leave it out to read all of them.",
            )
        return Page(empty=True, checkpoint={**_done(step), "tickets": 0})

    def _tickets(
        self, step: Mapping[str, Any], data: Mapping[str, Any], mark: Mapping[str, Any]
    ) -> Iterator[Page]:
        tickets, number = data["data"], step["page"]
        if not isinstance(tickets, list):
            raise _new_layout("its `data` is no list")
        total, before = _total(data), step.get("total", 0)
        seen = step.get("seen", 0) + len(tickets)
        more = seen < total if total is not None else len(tickets) >= SIZE
        if not tickets and (more or not step.get("seen")):
            raise Trouble(
                Outcome.SUSPECT,
                f"Page {number} of Reclame Aqui's list came empty, though it counts more "
                "complaints; run it again later.",
            )
        top = clip(tickets[0].get("id")) if tickets and isinstance(tickets[0], dict) else ""
        if top and top == step.get("top"):
            raise _new_layout(f"page {number} begins like the page before it")
        reading = {**step, "total": max(total or 0, before), "seen": seen, "top": top}
        if more:
            note = {**_note(reading), **_had(step, mark), "page": number}
            yield self._read(tickets, number, note, self._page({**reading, "page": number + 1}))
            return
        if total is not None and total < before:
            # What moved up a place when another was taken away has not been seen.
            yield self._read(tickets, number, {**_again(step), **_had(step, mark)}, None)
            raise Trouble(
                Outcome.PARTIAL,
                "Complaints were taken away while their list was read; the next run reads it "
                "again.",
            )
        had = _had(step, mark) if step.get("known") else {"tickets": reading["total"]}
        following = None
        if step.get("resumed"):
            # Pages that an earlier run has read may have changed since it was broken off.
            now = step.get("now")
            following = self._count({"known": step["next"], "next": now, **had})
        yield self._read(tickets, number, {**_done(step), **had}, following)

    def _read(
        self, tickets: Sequence[Any], number: int, note: Mapping[str, object], following: Ask | None
    ) -> Page:
        items, where, rejected = [], [], []
        unknown: Counter[str] = Counter()
        for place, ticket in enumerate(tickets, start=1):
            at = f"page {number}, ticket {place}"
            try:
                if not isinstance(ticket, dict):
                    raise ValueError("it is no ticket")  # noqa: TRY004, TRY301 - set aside as any
                items.append(self._feedback(ticket))
                where.append(at)
                unknown.update(_strange(ticket))
            except ValueError as error:
                rejected.append(Rejected(where=at, reason=str(error)))
        return Page(
            items=items,
            where=where,
            rejected=rejected,
            unknown=unknown,
            checkpoint=note,
            next=following,
        )

    def _feedback(self, ticket: Mapping[str, Any]) -> Feedback:
        """One ticket; raises ValueError with the reason when it is none."""
        own = ticket.get("id")
        if isinstance(own, bool) or not isinstance(own, int | str) or not str(own).strip():
            raise ValueError("it has no id")
        name = _name(ticket)
        rating = score(ticket.get("rating"))
        return Feedback(
            external_id=str(own).strip(),
            kind=Kind.COMPLAINT,
            title=unnamed(plain(ticket.get("complaint_title")), name),
            text=unnamed(plain(ticket.get("complaint_content")), name),
            rating=rating,
            rating_scale=SCALE if rating is not None else None,
            category=_category(ticket),
            published_at=_when(ticket, "creation_date"),
            edited_at=_when(ticket, "last_modification_date"),
            author=name or None,
            url=self._url(ticket),
            reply=_reply(ticket, name),
            attributes=_life(ticket, name, rating),
            people=_staff(ticket),
            contact=_contact(ticket),
            raw=json.dumps(_without_people(ticket, name), ensure_ascii=False),
        )

    def _url(self, ticket: Mapping[str, Any]) -> str | None:
        """The public page: the site finds it by the id behind the title."""
        found = _site_id(ticket)
        if self.settings.company_page is None or not found:
            return None
        slug = fold(plain(ticket.get("complaint_title"))).replace(" ", "-") or "reclamacao"
        return f"{_SITE}/{self.settings.company_page}/{slug}_{found}/"


def _written(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.000Z"


def _note(step: Mapping[str, Any]) -> dict[str, object]:
    """What the next run needs to go on with this reading."""
    kept = ("known", "next", "total", "seen", "top")
    return {name: step[name] for name in kept if step.get(name) is not None}


def _done(step: Mapping[str, Any]) -> dict[str, object]:
    """A reading to its end: what changed before it began is known."""
    known = step.get("next") or step.get("known")
    return {"known": known} if known else {"page": 0}


def _again(step: Mapping[str, Any]) -> dict[str, object]:
    return {"known": step["known"], "page": 0} if step.get("known") else {"page": 0}


def _had(step: Mapping[str, Any], mark: Mapping[str, Any]) -> dict[str, object]:
    had = step.get("tickets") or mark.get("tickets")
    return {"tickets": had} if had else {}


def _json(body: bytes) -> dict[str, Any] | None:
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def _new_layout(why: str) -> Trouble:
    return Trouble(
        Outcome.LAYOUT_CHANGED,
        f"Reclame Aqui's answer is new to this version ({why}); update this program.",
    )


def _total(data: Mapping[str, Any]) -> int | None:
    meta = data.get("meta")
    total = meta.get("total") if isinstance(meta, dict) else None
    return total if isinstance(total, int) and not isinstance(total, bool) else None


_CODES: Mapping[int, tuple[Outcome, str]] = {
    400: (
        Outcome.MISCONFIGURED,
        "did not take the question; check `company` and `since`, or update this program",
    ),
    401: (
        Outcome.BLOCKED,
        "did not let us in; check client id and secret, which HugMe shows under its API settings",
    ),
    403: (
        Outcome.BLOCKED,
        "says that the licence does not cover this; ask HugMe for the RA API on this account",
    ),
    404: (Outcome.MISCONFIGURED, "does not know this; check `company` and `base_url`"),
    409: (Outcome.UNAVAILABLE, "is busy with the same question; run it again later"),
    422: (
        Outcome.MISCONFIGURED,
        "cannot use a filter; check `company` and `since`, or update this program",
    ),
    429: (
        Outcome.RATE_LIMITED,
        "takes ten calls a minute and had more; the next run goes on, `delay` makes it slower",
    ),
    500: (Outcome.UNAVAILABLE, "is out of order; run it again later"),
    503: (Outcome.UNAVAILABLE, "is being maintained; run it again later"),
}


def _trouble(data: Mapping[str, Any] | None) -> Trouble | None:
    """The API's error as an outcome; its code is a status of HTTP and one digit more."""
    code = data.get("code") if data else None
    if data is None or isinstance(code, bool) or not str(code).isdecimal():
        return None
    unknown = (Outcome.UNAVAILABLE, "refused; run it again later")
    outcome, said = _CODES.get(int(str(code)[:3]), unknown)
    told = clip(data.get("message") or "no reason given")
    return Trouble(outcome, f"Reclame Aqui {said} ({code}: {told}).")


def _no_token(answer: Answer, data: Mapping[str, Any]) -> Trouble | None:
    if answer.status in _CODES and "code" not in data:
        return _trouble({"code": answer.status * 10, "message": "no token"})
    return _trouble(data)


def _dicts(value: object) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _inner(ticket: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = ticket.get(name)
    return value if isinstance(value, dict) else {}


def _when(ticket: Mapping[str, Any], name: str) -> datetime | None:
    value = ticket.get(name)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"`{name}` is no time")
    try:
        return moment(value)
    except ValueError as error:
        raise ValueError(f"`{name}` is no time: {str(value)[:40]!r}") from error


def _name(ticket: Mapping[str, Any]) -> str:
    name = _inner(ticket, "customer").get("name")
    return " ".join(name.split()) if isinstance(name, str) else ""


_REACHED: dict[str, tuple[str, ...]] = {
    "name": ("name",),
    "email": ("email",),
    "phone": ("phone_numbers",),
}
_REACHED |= {"document": ("cpf", "cnpj")}
"""What a contact calls it → what the API calls it."""


def _contact(ticket: Mapping[str, Any]) -> dict[str, str]:
    """How the consumer is reached, as the ticket says."""
    customer = _inner(ticket, "customer")
    told = {
        name: ", ".join(each for field in fields for each in _texts(customer.get(field)))
        for name, fields in _REACHED.items()
    }
    return {name: value for name, value in told.items() if value}


def _texts(value: object) -> Iterator[str]:
    """The texts in a value that may be one, a list of them, or none."""
    for each in value if isinstance(value, list) else [value]:
        if isinstance(each, str) and each.strip():
            yield " ".join(each.split())


def _staff(ticket: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of those who work on it: who has it, and who answered."""
    talk = _dicts(ticket.get("interactions"))
    people = [_inner(ticket, "user"), *(_inner(each, "responsible") for each in talk)]
    names = [
        *(each.get("name") for each in people),
        *(each.get("responsible_name") for each in talk),
    ]
    return tuple(dict.fromkeys(_texts(names)))


def _first(value: object) -> str:
    """A name in one of the shapes that cities and categories come in."""
    found = value[0] if isinstance(value, list) and value else value
    if isinstance(found, dict):
        found = found.get("fs") or found.get("name") or found.get("description")
    return found if isinstance(found, str) else ""


def _category(ticket: Mapping[str, Any]) -> str | None:
    reason = ticket.get("ra_reason")
    return _first(ticket.get("categories")) or (reason if isinstance(reason, str) else "") or None


def _public(interaction: Mapping[str, Any]) -> bool:
    kind = interaction.get("ticket_interaction_type_id")
    return yes(interaction.get("privacy")) is not True and kind not in _PRIVATE


def _by_company(interaction: Mapping[str, Any]) -> bool:
    """A public answer of the brand; a consumer's rejoinder names the customer alone."""
    told = interaction.get("customer_id") and not interaction.get("responsible_id")
    kind = interaction.get("ticket_interaction_type_id")
    return kind == _COMPANY and _public(interaction) and not told


def _answers(ticket: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [each for each in _dicts(ticket.get("interactions")) if _by_company(each)]


def _reply(ticket: Mapping[str, Any], name: str) -> Reply | None:
    """The brand's public answer, with the time that it was given."""
    answers = _answers(ticket)
    text = plain(ticket.get("complaint_response_content"))
    said = next((each for each in answers if plain(each.get("message")) == text), None)
    if not text:
        said = next((each for each in answers if plain(each.get("message"))), None)
        text = plain(said.get("message")) if said else ""
    if not text:
        return None
    at = _when(said, "creation_date") if said else None
    at = at or _when(ticket, "complaint_response_date")
    return Reply(text=unnamed(text, name, by_brand=True), at=at)


def _answered_at(ticket: Mapping[str, Any]) -> datetime | None:
    times = [_when(each, "creation_date") for each in _answers(ticket)]
    times.append(_when(ticket, "complaint_response_date"))
    return min((at for at in times if at), default=None)


def _life(ticket: Mapping[str, Any], name: str, rating: str | None) -> dict[str, str]:
    """Everything that has become of the complaint, in names that do not change."""
    told = _inner(ticket, "ra_status")
    moderation, source = _inner(ticket, "moderation"), _inner(ticket, "source")
    status = state(told.get("id"), told.get("name"))
    final = unnamed(plain(ticket.get("consumer_consideration")), name)
    customer, answers = _inner(ticket, "customer"), len(_answers(ticket))
    return facts(
        status,
        answered_at=_answered_at(ticket),
        replied=_reply(ticket, name) is not None,
        rating=rating,
        evaluated_at=_when(ticket, "rating_date"),
        resolved=yes(ticket.get("resolved_issue")),
        would_return=yes(ticket.get("back_doing_business")),
        final_comment=final,
        consumer_replies=_rejoinders(ticket) or None,
        company_replies=answers or None,
        frozen=(ticket.get("frozen") is True or status == "frozen") or None,
        deactivated=(ticket.get("active") is False or status in GONE) or None,
        moderation=decision(moderation.get("status")),
        moderation_reason=clip(moderation.get("reason") or ""),
        reason=plain(ticket.get("ra_reason")),
        feeling=plain(ticket.get("ra_feeling")),
        city=_first(customer.get("city")),
        state=_first(customer.get("state")),
        channel=plain(source.get("name")),
        company=plain(_inner(ticket, "company").get("name")),
        desk_status=plain(_inner(ticket, "hugme_status").get("name")),
        complaint_id=_site_id(ticket) or plain(ticket.get("source_external_id")),
    )


def _rejoinders(ticket: Mapping[str, Any]) -> int:
    """How often the consumer wrote again in public, by the site's count or by what is there."""
    counted = _inner(ticket, "ra").get("replicas_count")
    if isinstance(counted, int) and counted > 0:
        return counted
    return sum(
        _public(each) and "replica" in fold(str(each.get("ticket_interaction_name") or ""))
        for each in _dicts(ticket.get("interactions"))
    )


def _site_id(ticket: Mapping[str, Any]) -> str:
    """The id in the address of the public page, which is neither of the two others."""
    for interaction in _dicts(ticket.get("interactions")):
        for detail in _dicts(interaction.get("details")):
            value = detail.get("value")
            if detail.get("ticket_detail_type_id") == _SITE_ID and isinstance(value, str):
                return value if re.fullmatch(r"[A-Za-z0-9_-]{16}", value) else ""
    value = ticket.get("source_external_id")
    alike = isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_-]{16}", value)
    return value if alike and isinstance(value, str) else ""


def _strange(ticket: Mapping[str, Any]) -> Iterator[str]:
    """Fields and states that this version does not know."""
    yield from (str(name) for name in ticket if name not in _KEPT and name not in _PERSONAL)
    told = _inner(ticket, "ra_status")
    if told and not known_state(state(told.get("id"), told.get("name"))):
        yield f"ra_status {clip(told.get('id'))}"


def _without_people(ticket: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The payload without the consumer and without those who answered."""
    kept = {field: value for field, value in ticket.items() if field in _KEPT}
    for field in _SPOKEN:
        if isinstance(kept.get(field), str):
            kept[field] = unnamed(kept[field], name, by_brand="response" in field)
    moderation = _inner(ticket, "moderation")
    if moderation:
        kept["moderation"] = {field: told for field, told in moderation.items() if field != "user"}
    kept["interactions"] = [_nameless(each, name) for each in _dicts(ticket.get("interactions"))]
    return kept


def _nameless(interaction: Mapping[str, Any], name: str) -> dict[str, Any]:
    kept = {field: interaction.get(field) for field in _OF_INTERACTION}
    text = kept["message"]
    if not _public(interaction):
        kept["message"] = None
    elif isinstance(text, str):
        by_brand = _by_company(interaction)
        kept["message"] = unnamed(text, name, by_brand=by_brand)
    return kept
