"""The gateway's template on a real nginx, with small real upstreams behind it."""

import http.client
import json
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests

from octoco.testing import eventually
from octoco_runner.gateway import SERVICES, RateLimits, render_configuration
from octoco_runner.packages import NGINX
from octoco_runner.ports import free_port

nginx = NGINX.find()


@pytest.fixture(autouse=True)
def nginx_is_there() -> None:
    if nginx is None:
        pytest.fail("nginx is not installed: run these tests with `make test`", pytrace=False)


class Upstream(BaseHTTPRequestHandler):
    """Says what it was asked; takes the name of the service it stands for from its server."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if "/refused" in self.path:
            self._answer(409, {"code": "from_the_service"}, "application/problem+json")
            return
        self._answer(
            200,
            {
                "service": self.server.name,  # type: ignore[attr-defined]
                "path": self.path,
                "headers": {name.lower(): value for name, value in self.headers.items()},
                "bytes": len(body),
            },
        )

    do_POST = do_GET  # noqa: N815 - the name the server looks for

    def log_message(self, *args: object) -> None:
        """Tests read nginx's log, not this one."""

    def _answer(self, status: int, body: object, kind: str = "application/json") -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Request-Id", "made-by-the-service")
        self.end_headers()
        self.wfile.write(content)


@dataclass
class Gateway:
    url: str
    log: Path
    port: int
    static: Path

    def raw(self, request: bytes) -> tuple[int, dict[str, str], bytes]:
        """What nginx answers to bytes no client library would send."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall(request)
            response = http.client.HTTPResponse(connection)
            response.begin()
            return (
                response.status,
                {k.lower(): v for k, v in response.getheaders()},
                response.read(),
            )


@pytest.fixture(scope="module")
def upstreams() -> Iterator[dict[str, str]]:
    servers = []
    addresses = {}
    for name in SERVICES:
        if name == "notifications":
            # Nobody listens there: the gateway has to speak for it.
            addresses[name] = f"127.0.0.1:{free_port('nobody').number}"
            continue
        server = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
        server.name = name  # type: ignore[attr-defined]
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        addresses[name] = f"127.0.0.1:{server.server_port}"
    yield addresses
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def gateway(
    upstreams: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("gateway with a space")
    yield from run_gateway(folder, upstreams, RateLimits(rate="10000r/s", auth_rate="10000r/s"))


def run_gateway(folder: Path, upstreams: dict[str, str], limits: RateLimits) -> Iterator[Gateway]:
    port = free_port("gateway").number
    static = folder / "static"
    (static / "docs").mkdir(parents=True)
    (static / "docs" / "index.html").write_text("<title>docs</title>")
    (static / "docs" / "empty").mkdir()
    folder.chmod(0o755)
    for parent in (folder.parent, folder.parent.parent):
        parent.chmod(0o755)
    configuration = folder / "nginx.conf"
    configuration.write_text(
        render_configuration(
            listen=f"127.0.0.1:{port}",
            addresses=upstreams,
            limits=limits,
            run_folder=folder,
            static=static,
            user=None,
        )
    )
    command = [str(nginx), "-c", str(configuration), "-p", str(folder), "-e", "stderr"]
    subprocess.run([*command, "-t"], check=True, capture_output=True)
    log = folder / "nginx.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        url = f"http://127.0.0.1:{port}"
        eventually(lambda: answers(f"{url}/health"), what="nginx answers")
        yield Gateway(url=url, log=log, port=port, static=static)
    finally:
        process.terminate()
        process.wait(timeout=10)


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=1).ok
    except requests.ConnectionError:
        return False


def check_problem(response: requests.Response, status: int, code: str) -> None:
    assert response.status_code == status
    assert response.headers["Content-Type"] == "application/problem+json"
    body = response.json()
    assert body["status"] == status
    assert body["code"] == code
    assert body["type"] == "about:blank"
    assert body["title"]
    assert body["detail"]
    assert body["request_id"] == response.headers["X-Request-Id"]
    assert response.headers["Server"] == "nginx"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("path", "service"),
    [
        ("/v1/auth/login", "accounts"),
        ("/v1/me", "accounts"),
        ("/v1/me/sessions", "accounts"),
        ("/.well-known/jwks.json", "accounts"),
        ("/v1/balance?currency=ZAR", "wallet"),
        ("/v1/deposits/txn_1/cancel", "wallet"),
        ("/v1/withdrawals", "wallet"),
        ("/v1/transactions/txn_1", "wallet"),
        ("/v1/statements/2026-10", "wallet"),
        ("/v1/bank-accounts/ba_1", "payments-gateway"),
        ("/v1/payment-methods", "payments-gateway"),
        ("/webhooks/revio", "payments-gateway"),
    ],
)
def test_a_public_route_reaches_its_service(gateway: Gateway, path: str, service: str) -> None:
    answer = requests.get(gateway.url + path, timeout=5).json()

    assert (answer["service"], answer["path"]) == (service, path)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/metrics",
        "/internal/anything",
        "/health/live",
        "/health/ready",
        "/v1/admin/users",
        "/v1/menu",
        "/v1/balances",
        "/v1/me/../admin",
        "/v1/balance/%2e%2e/%2e%2e/metrics",
        "/v1/me/..%2f..%2fmetrics",
        "/webhooks/revio/more",
        "/.well-known/other",
        "/_problem",
        "/docs/absent.html",
        "/docs/empty/",
        "/docs/../nginx.conf",
    ],
)
def test_everything_else_is_not_found(gateway: Gateway, path: str) -> None:
    with requests.Session() as session:
        request = requests.Request("GET", gateway.url).prepare()
        # As it is: a client library would tidy the dots away before sending.
        request.url = gateway.url + path
        check_problem(session.send(request, timeout=5), 404, "not_found")


def test_the_request_id_is_made_here_passed_on_and_returned(gateway: Gateway) -> None:
    claimed = {"X-Request-Id": "chosen-by-client", "X-Forwarded-For": "6.6.6.6"}

    response = requests.get(f"{gateway.url}/v1/balance", headers=claimed, timeout=5)

    seen = response.json()["headers"]
    assert response.headers["X-Request-Id"] == seen["x-request-id"]
    assert len(seen["x-request-id"]) == 32
    assert seen["x-forwarded-for"] == "127.0.0.1"


def test_a_services_own_problem_is_passed_on_untouched(gateway: Gateway) -> None:
    response = requests.get(f"{gateway.url}/v1/balance/refused", timeout=5)

    assert response.status_code == 409
    assert response.json() == {"code": "from_the_service"}
    assert response.headers["Content-Type"] == "application/problem+json"


def test_a_large_body_is_refused_before_any_service_sees_it(gateway: Gateway) -> None:
    response = requests.post(f"{gateway.url}/v1/deposits", data=b"x" * 5_000_000, timeout=10)

    check_problem(response, 413, "body_too_large")


def test_a_large_body_without_its_length_is_refused(gateway: Gateway) -> None:
    chunks = (b"x" * 65536 for _ in range(80))

    try:
        response = requests.post(f"{gateway.url}/v1/deposits", data=chunks, timeout=10)
    except requests.ConnectionError:
        # nginx may close while we are still sending; what matters is that no service answered.
        return
    check_problem(response, 413, "body_too_large")


def test_a_webhook_may_be_as_large_as_the_service_takes_and_no_larger(gateway: Gateway) -> None:
    body = b"x" * 1024 * 1024

    response = requests.post(f"{gateway.url}/webhooks/revio", data=body, timeout=10)
    assert response.json()["bytes"] == len(body)

    response = requests.post(f"{gateway.url}/webhooks/revio", data=body + b"x", timeout=10)
    check_problem(response, 413, "body_too_large")


def test_a_service_that_is_away_is_a_bad_gateway(gateway: Gateway) -> None:
    response = requests.get(f"{gateway.url}/v1/notifications", timeout=5)

    check_problem(response, 502, "bad_gateway")
    assert response.headers["Retry-After"] == "1"


def test_a_method_the_gateway_refuses_is_a_problem(gateway: Gateway) -> None:
    check_problem(requests.post(f"{gateway.url}/docs/", timeout=5), 405, "method_not_allowed")
    trace = requests.request("TRACE", f"{gateway.url}/v1/balance", timeout=5)
    check_problem(trace, 405, "method_not_allowed")


def test_a_long_address_is_a_problem(gateway: Gateway) -> None:
    response = requests.get(f"{gateway.url}/v1/balance?{'x' * 20_000}", timeout=5)

    check_problem(response, 414, "uri_too_long")


def test_a_large_header_is_a_problem(gateway: Gateway) -> None:
    headers = {"X-Large": "x" * 20_000}

    response = requests.get(f"{gateway.url}/v1/balance", headers=headers, timeout=5)

    check_problem(response, 431, "header_too_large")


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /v1/balance HTTP/1.1\r\n\r\n",
        b"GET /v1/balance HTTP/1.1\r\nHost: a\r\nContent-Length: nonsense\r\n\r\n",
        b"GE\x01T / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /docs/..%2f..%2fnginx.conf HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
def test_what_is_not_http_is_a_problem(gateway: Gateway, request_bytes: bytes) -> None:
    status, headers, body = gateway.raw(request_bytes)

    assert status == 400
    assert headers["content-type"] == "application/problem+json"
    assert json.loads(body)["code"] == "bad_request"
    assert json.loads(body)["request_id"] == headers["x-request-id"]


def test_its_own_health_answers(gateway: Gateway) -> None:
    assert requests.get(f"{gateway.url}/health", timeout=5).json() == {"status": "ok"}


def test_the_docs_are_served_with_a_strict_policy(gateway: Gateway) -> None:
    response = requests.get(f"{gateway.url}/docs", timeout=5)

    assert "<title>docs</title>" in response.text
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy


def test_the_log_has_the_request_and_never_its_query(gateway: Gateway) -> None:
    response = requests.get(f"{gateway.url}/v1/balance?token=very-secret", timeout=5)
    request_id = response.headers["X-Request-Id"]

    def logged() -> dict[str, str] | None:
        for line in gateway.log.read_text().splitlines():
            if request_id in line:
                entry: dict[str, str] = json.loads(line)
                return entry
        return None

    entry = eventually(logged, what="the request is logged")
    assert (entry["path"], entry["status"]) == ("/v1/balance", "200")
    assert "very-secret" not in gateway.log.read_text()


def test_sign_in_is_limited_per_address_and_webhooks_are_not(
    upstreams: dict[str, str], tmp_path: Path
) -> None:
    limits = RateLimits(rate="1r/s", burst="5", auth_rate="1r/s", auth_burst="1")
    for limited in run_gateway(tmp_path / "limited", upstreams, limits):
        logins = [requests.post(f"{limited.url}/v1/auth/login", timeout=5) for _ in range(4)]
        hooks = [requests.post(f"{limited.url}/webhooks/revio", timeout=5) for _ in range(20)]
        refused = logins[-1]

        assert logins[0].status_code == 200
        check_problem(refused, 429, "rate_limited")
        assert refused.headers["Retry-After"] == "1"
        assert {hook.status_code for hook in hooks} == {200}
