"""The merged OpenAPI document of the four services, and a page to read it."""

import importlib.util
import json
import shutil
import subprocess
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from octoco_runner.commands import run
from octoco_runner.errors import RunnerError
from octoco_runner.services import SERVICES, script
from octoco_runner.supervision import clean_environment

Document = dict[str, Any]

METHODS = frozenset({"get", "put", "post", "delete", "options", "head", "patch", "trace"})
# What the gateway does not let through has no place on the public page.
CLOSED_PREFIXES = ("/health", "/metrics", "/internal", "/v1/admin")
DOCUMENT_SECONDS_MAX = 60
ASSETS = (
    "swagger-ui.css",
    "swagger-ui-bundle.js",
    "index.css",
    "favicon-32x32.png",
    "LICENSE",
)
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Octoco Wallet API</title>
<link rel="stylesheet" href="swagger-ui.css">
<link rel="stylesheet" href="index.css">
<link rel="icon" type="image/png" href="favicon-32x32.png">
</head>
<body>
<div id="swagger-ui"></div>
<noscript>The document itself: <a href="openapi.json">openapi.json</a>.</noscript>
<script src="swagger-ui-bundle.js"></script>
<script src="start.js"></script>
</body>
</html>
"""
START = """window.addEventListener("load", function () {
  window.ui = SwaggerUIBundle({
    url: "openapi.json",
    dom_id: "#swagger-ui",
    deepLinking: true,
    validatorUrl: null,
    tryItOutEnabled: true,
    persistAuthorization: false
  });
});
"""


def write_docs(folder: Path, *, documents: Mapping[str, Document]) -> None:
    """Write the page, its assets and openapi.json into `folder`, replacing what is there.

    Args:
        folder: Served at /docs/.
        documents: Each service's OpenAPI document by its name.

    Raises:
        RunnerError: the Swagger UI package is not installed, or two services claim one path.
    """
    assets = _assets()
    folder.mkdir(parents=True, exist_ok=True)
    for name in ASSETS:
        shutil.copyfile(assets / name, folder / name)
    (folder / "index.html").write_text(PAGE)
    (folder / "start.js").write_text(START)
    (folder / "openapi.json").write_text(json.dumps(merge(documents), indent=2) + "\n")
    for path in (folder, *folder.iterdir()):
        # Workers of another user serve these.
        path.chmod(0o755 if path.is_dir() else 0o644)


def documents_of_services(command: str = "openapi") -> dict[str, Document]:
    """Ask each service's command line for a document of its own, side by side.

    Args:
        command: Prints it: `openapi` or `asyncapi`.

    Raises:
        RunnerError: one could not say it.
    """
    with ThreadPoolExecutor(max_workers=len(SERVICES)) as threads:
        found = threads.map(lambda service: _document_of(service, command), SERVICES)
        return dict(zip(SERVICES, found, strict=True))


def merge(documents: Mapping[str, Document]) -> Document:
    """Make one document of several.

    Every operation is tagged with its service. A component that two services name alike and mean
    differently keeps its plain name nowhere: each becomes `<Service><Name>`; an identical one is
    kept once.

    Raises:
        RunnerError: two services claim the same path and method.
    """
    conflicting = _conflicting_components(documents)
    paths: dict[str, dict[str, Any]] = {}
    components: dict[str, dict[str, Any]] = {}
    for service, original in documents.items():
        document = _renamed(original, _renaming(service, conflicting))
        for path, item in document.get("paths", {}).items():
            if path.startswith(CLOSED_PREFIXES):
                continue
            security = document.get("security")
            _merge_path(paths.setdefault(path, {}), service, path, item, security)
        for kind, entries in document.get("components", {}).items():
            components.setdefault(kind, {}).update(entries)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Octoco Wallet",
            "version": "1",
            "description": "Everything the API gateway lets through. Amounts are strings, "
            "times are UTC, errors are application/problem+json with a stable `code`.",
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": service} for service in documents],
        "paths": dict(sorted(paths.items())),
        "components": {kind: dict(sorted(found.items())) for kind, found in components.items()},
    }


def _merge_path(
    target: dict[str, Any], service: str, path: str, item: Mapping[str, Any], security: object
) -> None:
    for key, value in item.items():
        if key not in METHODS:
            target[key] = value
            continue
        if key in target:
            raise RunnerError(f"Two services claim {key.upper()} {path}; one is {service}.")
        # What held for a whole document is said at each of its operations.
        common = {} if security is None else {"security": security}
        target[key] = {**common, **value, "tags": [service]}


def _conflicting_components(documents: Mapping[str, Document]) -> set[tuple[str, str]]:
    seen: dict[tuple[str, str], object] = {}
    conflicting: set[tuple[str, str]] = set()
    for document in documents.values():
        for kind, entries in document.get("components", {}).items():
            # Security schemes are used by plain name; all services take the same tokens.
            if kind == "securitySchemes":
                continue
            for name, value in entries.items():
                if seen.setdefault((kind, name), value) != value:
                    conflicting.add((kind, name))
    return _with_users_of(conflicting, documents)


def _with_users_of(
    conflicting: set[tuple[str, str]], documents: Mapping[str, Document]
) -> set[tuple[str, str]]:
    # A component that reads alike in two documents but refers to a renamed one differs after all.
    while True:
        references = {f'"#/components/{kind}/{name}"' for kind, name in conflicting}
        found = {
            (kind, name)
            for document in documents.values()
            for kind, entries in document.get("components", {}).items()
            for name, value in entries.items()
            if any(reference in json.dumps(value) for reference in references)
        }
        if found <= conflicting:
            return conflicting
        conflicting = conflicting | found


def _renaming(service: str, conflicting: set[tuple[str, str]]) -> Callable[[str, str], str]:
    prefix = "".join(part.capitalize() for part in service.split("-"))

    def rename(kind: str, name: str) -> str:
        return f"{prefix}{name}" if (kind, name) in conflicting else name

    return rename


def _renamed(document: Document, rename: Callable[[str, str], str]) -> Document:
    def follow(value: object) -> object:
        if isinstance(value, dict):
            return {key: follow(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [follow(inner) for inner in value]
        if isinstance(value, str) and value.startswith("#/components/"):
            _, _, kind, name = value.split("/", 3)
            return f"#/components/{kind}/{rename(kind, name)}"
        return value

    renamed: Document = {
        key: follow(value) for key, value in document.items() if key != "components"
    }
    renamed["components"] = {
        kind: {rename(kind, name): follow(value) for name, value in entries.items()}
        for kind, entries in document.get("components", {}).items()
    }
    return renamed


def _document_of(service: str, command: str) -> Document:
    try:
        said = run(
            [str(script(service)), command],
            environment=clean_environment(),
            timeout_seconds=DOCUMENT_SECONDS_MAX,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RunnerError(f"{service} {command}: {error}") from error
    if said.returncode != 0:
        raise RunnerError(f"{service} {command} failed:\n{said.stderr.strip()[-2000:]}")
    document: Document = json.loads(said.stdout)
    return document


def _assets() -> Path:
    found = importlib.util.find_spec("flask_swagger_ui")
    if found is None or found.origin is None:
        raise RunnerError("The package flask-swagger-ui is not installed.")
    return Path(found.origin).parent / "dist"
