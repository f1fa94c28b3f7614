"""Deliveries as Prometheus counts them."""

from prometheus_client import Counter

from notifications.domain.deliveries import Delivery

DELIVERIES_ENDED = Counter(
    "octoco_deliveries_ended_total",
    "Mails that reached their end, by template and outcome.",
    ["template", "outcome"],
)
DELIVERIES_REPEATED = Counter(
    "octoco_deliveries_repeated_total",
    "Mails sent once more because nobody knew whether they had gone out.",
    ["template"],
)


class PrometheusDeliveryCounter:
    """See `notifications.use_cases.send_email.DeliveryCounter`."""

    def ended(self, delivery: Delivery) -> None:
        outcome = delivery.failure_reason or delivery.status
        DELIVERIES_ENDED.labels(template=delivery.template.value, outcome=outcome.value).inc()

    def repeated(self, delivery: Delivery) -> None:
        DELIVERIES_REPEATED.labels(template=delivery.template.value).inc()
