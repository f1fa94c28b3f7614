"""Bodies that a message schema lets through, made from the schema."""

from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from octoco.messaging.contracts import Schema


def bodies(schema: Schema) -> st.SearchStrategy[dict[str, Any]]:
    """Every kind of body that the schema lets through, with and without what is optional."""
    values = {name: _values(rule) for name, rule in schema["properties"].items()}
    return st.fixed_dictionaries(
        {name: values[name] for name in schema["required"]},
        optional={name: values[name] for name in values if name not in schema["required"]},
    )


def _values(rule: dict[str, Any]) -> st.SearchStrategy[Any]:
    if "enum" in rule:
        return st.sampled_from(rule["enum"])
    if rule.get("format") == "date-time":
        instants = st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1))  # noqa: DTZ001 - made UTC below
        return instants.map(lambda at: at.replace(tzinfo=UTC).isoformat().replace("+00:00", "Z"))
    if rule.get("format") == "uri":
        found: st.SearchStrategy[Any] = st.just("https://gate.example/p/1/")
    elif rule.get("pattern") == "^[A-Z]{3}$":
        found = st.just("ZAR")
    elif rule.get("pattern", "").startswith("^[0-9]{1,"):
        most = 10**20 if "20}" in rule["pattern"] else 10**13
        found = st.integers(1, most).map(lambda cents: f"{cents // 100}.{cents % 100:02d}")
    elif "pattern" in rule:
        found = st.from_regex(rule["pattern"].replace("$", r"\Z"))
    else:
        found = st.text("abc@.", min_size=rule.get("minLength", 0), max_size=40)
    return st.none() | found if "null" in rule["type"] else found
