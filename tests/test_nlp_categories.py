"""A source's own categories become topics where a feedback has no text."""

from __future__ import annotations

import pytest

from ouvidor.collectors.collector import kinds
from ouvidor.config import ConfigError, parse
from ouvidor.house import categories
from ouvidor.nlp.categories import categories_version, topic_of
from ouvidor.storage.vocabulary import Topic

CONFIGURATION = """
[brand]
name = "Loja"
[sources.gov]
kind = "consumidor_gov_br"
company = ["Loja"]
[sources.gov.categories]
"Contrato / Oferta" = "contract_cancellation"
"Entrega do Produto" = "installation_repair"
[sources.cfpb]
kind = "cfpb"
company = "LOJA BANK"
[sources.app]
kind = "app_store"
app = "1"
country = "br"
"""
KNOWN = {
    "Cobrança / Contestação": Topic.BILLING_PAYMENT,
    "Contestação": Topic.SECURITY_FRAUD,
    "Mortgage": Topic.CONTRACT_CANCELLATION,
    "Fees": Topic.PRICE_VALUE,
}


@pytest.mark.parametrize(
    ("category", "topic"),
    [
        ("Cobrança / Contestação", Topic.BILLING_PAYMENT),
        ("Mortgage / Fees", Topic.PRICE_VALUE),
        ("Mortgage / Closing", Topic.CONTRACT_CANCELLATION),
        ("Card / Closing", None),
        ("cobrança", None),
        ("", None),
        (None, None),
    ],
)
def test_the_whole_goes_before_its_parts(category: str | None, topic: Topic | None) -> None:
    assert topic_of(KNOWN, category) is topic


def test_the_configuration_goes_before_what_the_kind_knows() -> None:
    found = categories(parse(CONFIGURATION))
    assert set(found) == {"gov", "cfpb"}
    assert found["gov"]["Contrato / Oferta"] is Topic.CONTRACT_CANCELLATION
    assert found["gov"]["Entrega do Produto"] is Topic.INSTALLATION_REPAIR
    assert found["gov"]["Cobrança / Contestação"] is Topic.BILLING_PAYMENT
    issue = "Mortgage / Trouble during payment process"
    assert topic_of(found["cfpb"], issue) is Topic.BILLING_PAYMENT


def test_a_kind_that_is_unknown_has_no_categories() -> None:
    config = parse('[brand]\nname = "L"\n[sources.a]\nkind = "nix"\n')
    assert categories(config) == {}


def test_a_topic_that_is_none_is_named_with_those_there_are() -> None:
    wrong = CONFIGURATION.replace("installation_repair", "instalation")
    with pytest.raises(ConfigError) as caught:
        parse(wrong)
    said = str(caught.value)
    assert "sources.gov.categories.Entrega do Produto: 'instalation' is no topic" in said
    assert "installation_repair" in said


def test_another_table_is_another_tagger_and_none_is_as_before() -> None:
    one = {"gov": {"a": Topic.DELIVERY, "b": Topic.PREMISES}}
    turned = {"gov": {"b": Topic.PREMISES, "a": Topic.DELIVERY}}
    other = {"gov": {"a": Topic.DELIVERY}}
    assert categories_version({}) == categories_version({"gov": {}}) == ""
    assert categories_version(one) == categories_version(turned)
    assert categories_version(one) != categories_version(other)


def test_what_the_kinds_know_are_topics() -> None:
    known = [kind.categories for kind in kinds().values() if kind.categories]
    assert len(known) == 2
    assert {topic for each in known for topic in each.values()} <= set(Topic)
