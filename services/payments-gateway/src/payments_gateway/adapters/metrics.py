"""The gateway's own metrics, beside those every service has."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

PROVIDER_CALLS: Final = Counter(
    "payments_provider_calls_total", "Calls to the provider.", ["operation", "outcome"]
)
PROVIDER_SECONDS: Final = Histogram(
    "payments_provider_call_seconds",
    "Time a call to the provider took.",
    ["operation"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15),
)
PROVIDER_CIRCUIT_OPEN: Final = Gauge(
    "payments_provider_circuit_open",
    "1 while calls to the provider are not even tried.",
    multiprocess_mode="mostrecent",
)
WEBHOOKS: Final = Counter("payments_webhooks_total", "Webhook deliveries, by result.", ["result"])
CASES_OPEN: Final = Gauge(
    "payments_cases_open",
    "Cases that wait for a person, by kind.",
    ["kind"],
    multiprocess_mode="mostrecent",
)
MONEY_FACTS_UNANSWERED_AGE: Final = Gauge(
    "payments_money_fact_oldest_unanswered_seconds",
    "Age of the oldest money fact that the wallet has not answered.",
    multiprocess_mode="mostrecent",
)
