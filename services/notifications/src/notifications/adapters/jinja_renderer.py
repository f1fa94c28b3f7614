"""Mails from Jinja2 templates, each in HTML and in plain text."""

from collections.abc import Mapping
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from notifications.domain.amounts import format_money
from notifications.domain.deliveries import Delivery, Template
from notifications.domain.reasons import explain_payment, explain_payout
from notifications.use_cases.ports import RenderedMail
from octoco.money import Money

_SUBJECTS: Final[Mapping[Template, str]] = {
    Template.EMAIL_VERIFICATION: "Verify your e-mail address",
    Template.WELCOME: "Welcome to Octoco Wallet",
    Template.DEPOSIT_COMPLETED: "Your deposit of {amount} has arrived",
    Template.DEPOSIT_FAILED: "Your deposit of {amount} did not go through",
    Template.WITHDRAWAL_COMPLETED: "Your withdrawal of {amount} has been paid out",
    Template.WITHDRAWAL_FAILED: "Your withdrawal of {amount} failed, the money is back",
    Template.WITHDRAWAL_CANCELLED: "Your withdrawal of {amount} was cancelled",
    Template.BANK_ACCOUNT_VERIFIED: "Your bank account is verified",
}


class JinjaRenderer:
    """See `notifications.use_cases.ports.Renderer`.

    Args:
        public_url: Where people reach the product; links begin with it.
    """

    def __init__(self, *, public_url: str) -> None:
        self._public_url = public_url.rstrip("/")
        self._environment = Environment(
            loader=PackageLoader("notifications.adapters", "templates"),
            autoescape=select_autoescape(["html"]),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )

    def subject(self, delivery: Delivery) -> str:
        return _SUBJECTS[delivery.template].format_map(_readable(delivery))

    def render(self, delivery: Delivery, *, token: str | None) -> RenderedMail:
        values: dict[str, object] = {
            **_readable(delivery),
            "subject": self.subject(delivery),
            "public_url": self._public_url,
        }
        if token is not None and delivery.token is not None:
            values["token"] = token
            values["expires_at"] = f"{delivery.token.expires_at:%d %B %Y, %H:%M} UTC"
        name = delivery.template.value
        return RenderedMail(
            to_address=delivery.to_address,
            message_id=delivery.id,
            subject=self.subject(delivery),
            text=self._environment.get_template(f"{name}.txt").render(values),
            html=self._environment.get_template(f"{name}.html").render(values),
        )


def _readable(delivery: Delivery) -> dict[str, str]:
    facts = dict(delivery.facts)
    readable = {**facts, "name": facts.get("full_name", "")}
    currency = facts.get("currency")
    for amount in ("amount", "available"):
        if currency is not None and amount in facts:
            money = Money.parse_sum(facts[amount], currency)
            readable[amount] = format_money(money, locale=delivery.locale)
    if "reason_code" in facts:
        explain = (
            explain_payment if delivery.template is Template.DEPOSIT_FAILED else explain_payout
        )
        readable["reason"] = explain(facts["reason_code"])
    return readable
