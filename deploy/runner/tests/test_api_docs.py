"""The merged API document."""

import json
from pathlib import Path
from typing import Any

import pytest

from octoco_runner.api_docs import merge, write_docs
from octoco_runner.errors import RunnerError


def document(path: str, **schemas: object) -> dict[str, Any]:
    reference = {"$ref": "#/components/schemas/Answer"}
    content = {"application/json": {"schema": reference}}
    operation = {"responses": {"200": {"description": "ok", "content": content}}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "x", "version": "1"},
        "paths": {path: {"get": operation, "parameters": []}},
        "components": {"schemas": {"Problem": {"type": "object"}, **schemas}},
    }


def answer_schema(merged: dict[str, Any], path: str) -> str:
    content = merged["paths"][path]["get"]["responses"]["200"]["content"]
    return str(content["application/json"]["schema"]["$ref"])


def test_operations_are_tagged_and_only_differing_components_are_renamed() -> None:
    merged = merge(
        {
            "wallet": document("/v1/balance", Answer={"title": "a balance"}),
            "payments-gateway": document("/v1/bank-accounts", Answer={"title": "an account"}),
        }
    )

    schemas = merged["components"]["schemas"]
    assert set(schemas) == {"Problem", "WalletAnswer", "PaymentsGatewayAnswer"}
    assert answer_schema(merged, "/v1/balance") == "#/components/schemas/WalletAnswer"
    assert schemas["WalletAnswer"] == {"title": "a balance"}
    assert merged["paths"]["/v1/balance"]["get"]["tags"] == ["wallet"]
    assert [tag["name"] for tag in merged["tags"]] == ["wallet", "payments-gateway"]


def test_what_refers_to_a_renamed_component_is_renamed_with_it() -> None:
    holder = {"properties": {"inner": {"$ref": "#/components/schemas/Inner"}}}
    merged = merge(
        {
            "accounts": document("/v1/me", Answer=holder, Inner={"title": "a"}),
            "wallet": document("/v1/balance", Answer=holder, Inner={"title": "b"}),
        }
    )

    inner = merged["components"]["schemas"]["WalletAnswer"]["properties"]["inner"]
    assert inner == {"$ref": "#/components/schemas/WalletInner"}


@pytest.mark.parametrize("path", ["/health/live", "/metrics", "/v1/admin/users", "/internal/x"])
def test_closed_routes_are_not_shown(path: str) -> None:
    assert merge({"wallet": document(path)})["paths"] == {}


def test_security_of_a_whole_document_stays_with_its_operations() -> None:
    secured = {**document("/v1/balance"), "security": [{"bearer": []}]}

    merged = merge({"wallet": secured, "accounts": document("/v1/me")})

    assert merged["paths"]["/v1/balance"]["get"]["security"] == [{"bearer": []}]
    assert "security" not in merged["paths"]["/v1/me"]["get"]


def test_two_services_on_one_route_are_refused() -> None:
    with pytest.raises(RunnerError, match="GET /v1/me"):
        merge({"accounts": document("/v1/me"), "wallet": document("/v1/me")})


def test_the_page_is_complete_and_runs_no_script_of_its_own(tmp_path: Path) -> None:
    write_docs(tmp_path, documents={"wallet": document("/v1/balance")})

    page = (tmp_path / "index.html").read_text()
    assert json.loads((tmp_path / "openapi.json").read_text())["paths"].keys() == {"/v1/balance"}
    for name in ("swagger-ui.css", "swagger-ui-bundle.js", "start.js"):
        assert f'"{name}"' in page
        assert (tmp_path / name).stat().st_size > 0
    assert "<script>" not in page
