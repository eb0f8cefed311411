"""Security headers of every response, and the settings of an installation in production."""

import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.test import Client
from pytest_django.fixtures import Settings

from hyperwatch.harness.app_process import AppProcess
from hyperwatch.tests.services.commands import Start
from hyperwatch.tests.services.environment import ROOT, setting_names

pytestmark = pytest.mark.django_db

SECRET = "mP3xV9qLw2Zt7Rk5Ns8Yd4Hb6Jc1Gf0Ta-Ue_QoXiWv2Lz8Kr5BnA"
BROWSER = {"Accept": "text/html,application/xhtml+xml"}
PREFLIGHT = {"Origin": "https://a.example", "Access-Control-Request-Method": "GET"}


def production(folder: Path, **more: str) -> dict[str, str]:
    """The environment of compose's web service with the example's settings, and with secrets of one's own."""
    file = folder / ".env"
    file.write_text((ROOT / ".env.example").read_text().replace("=change-me", f"={SECRET}"))
    service = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["web"]
    handed = {name: value for name, value in service["environment"].items() if value and "$" not in value}
    clean = {name: value for name, value in os.environ.items() if name not in setting_names()}
    url = f"postgresql://hyperwatch:{SECRET}@postgres:5432/hyperwatch"
    return {**clean, **handed, "ENV_FILE": str(file), "DATABASE_URL": url, "DATA_DIR": str(folder), **more}


def checked(env: dict[str, str]) -> tuple[int, str]:
    command = [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"]
    returned = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)
    return returned.returncode, returned.stdout + returned.stderr


def test_production_behind_tls_proxy_has_no_deploy_warning(tmp_path: Path) -> None:
    code, returned = checked(production(tmp_path, BEHIND_TLS_PROXY="true", NUM_PROXIES="1"))
    assert (code, "no issues" in returned) == (0, True), returned


def test_production_without_tls_has_one_deploy_notice(tmp_path: Path) -> None:
    code, returned = checked(production(tmp_path))
    assert (code, re.findall(r"\((\S+\.\S+)\)", returned)) == (0, ["hyperwatch.I001"]), returned
    assert "can be read on the way" in returned


def fetch(web: AppProcess, path: str, **headers: str) -> tuple[int, Message]:
    """Status and headers of an answer, redirects not followed."""
    request = urllib.request.Request(f"{web.url}{path}", headers=headers)  # noqa: S310 (http, ours)
    opener = urllib.request.build_opener(Unmoved)
    try:
        with opener.open(request, timeout=20) as answer:
            return answer.status, answer.headers
    except urllib.error.HTTPError as error:
        return error.code, error.headers


class Unmoved(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_args: Any) -> None:
        return None


def test_plain_http_behind_tls_proxy_is_redirected(web_server: Start) -> None:
    web = web_server(BEHIND_TLS_PROXY="true", NUM_PROXIES="1")
    status, headers = fetch(web, "/api/v1/coins?limit=1")
    assert (status, headers["Location"]) == (301, f"https://127.0.0.1:{web.port}/api/v1/coins?limit=1")
    by_tls = {"X-Forwarded-Proto": "https"}
    status, headers = fetch(web, "/api/v1/coins", **by_tls)
    assert (status, headers["Strict-Transport-Security"]) == (200, "max-age=31536000")
    assert "; Secure" in fetch(web, "/admin/login/", **by_tls)[1]["Set-Cookie"]
    # A response cached for TLS is not served over plain HTTP.
    retained = "/api/v1/liquidations/recent?limit=2"
    assert [fetch(web, retained, **by_tls)[0] for _ in range(3)] == [200, 200, 200]
    assert fetch(web, retained)[0] == 301
    # Health checks do not pass the proxy.
    assert [fetch(web, path)[0] for path in ("/health", "/health/ready", "/metrics")] == [200, 200, 200]


def test_forwarded_proto_without_proxy_is_ignored() -> None:
    page = Client().get("/docs/ws", headers={"X-Forwarded-Proto": "https"}).content.decode()
    assert "ws://testserver/ws" in page
    assert "wss://" not in page


ANSWERS = {
    "a list": ("GET", "/api/v1/coins", {}, 200),
    "a refusal": ("GET", "/api/v1/coins?no=1", {}, 400),
    "nothing": ("GET", "/api/v1/nothing", {}, 404),
    "a write without a key": ("POST", "/api/v1/whales", {}, 401),
    "a preflight": ("OPTIONS", "/api/v1/coins", PREFLIGHT, 200),
    "the start page": ("GET", "/", BROWSER, 200),
    "the document": ("GET", "/api/schema", {}, 200),
    "Swagger UI": ("GET", "/docs", BROWSER, 200),
    "ReDoc": ("GET", "/redoc", BROWSER, 200),
    "the socket's page": ("GET", "/docs/ws", BROWSER, 200),
    "the admin's door": ("GET", "/admin/login/", BROWSER, 200),
    "a way to it": ("GET", "/admin/", BROWSER, 302),
    "a list to look at": ("GET", "/api/v1/whales", BROWSER, 200),
    "a file": ("GET", "/static/hyperwatch/start.js", {}, 200),
    "no page": ("GET", "/nowhere", BROWSER, 404),
    "health": ("GET", "/health", {}, 200),
    "metrics": ("GET", "/metrics", {}, 200),
}  # fmt: skip


@pytest.mark.parametrize(("method", "path", "headers", "status"), ANSWERS.values(), ids=list(ANSWERS))
def test_every_answer_tells_browsers_what_they_may(method: str, path: str, headers: Any, status: int) -> None:
    answer = Client().generic(method, path, headers=headers)
    assert answer.status_code == status
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["Referrer-Policy"] == "same-origin"
    policy = dict(part.strip().split(" ", 1) for part in answer["Content-Security-Policy"].split(";"))
    assert (policy["default-src"], policy["frame-ancestors"]) == ("'self'", "'none'")
    # No exception for scripts: neither one inside of a page nor one from elsewhere is run.
    assert "script-src" not in policy
    inside = re.compile(rb"<script(?![^>]*(?:src=|application/json))|<[a-z][^>]*\son[a-z]+=|javascript:", re.IGNORECASE)
    if answer["Content-Type"].startswith("text/html"):
        assert inside.findall(answer.content) == []


def test_what_a_middleware_refuses_tells_them_too(settings: Settings) -> None:
    settings.ALLOWED_HOSTS = ["elsewhere.example"]
    answer = Client().get("/api/v1/coins")
    assert (answer.status_code, answer["X-Content-Type-Options"]) == (400, "nosniff")


def test_cors_allows_origins_of_the_settings(web_server: Start) -> None:
    web = web_server(CORS_ALLOWED_ORIGINS="https://a.example")
    returned = [fetch(web, "/api/v1/coins", Origin=f"https://{name}.example")[1] for name in "ab"]
    assert [headers["Access-Control-Allow-Origin"] for headers in returned] == ["https://a.example", None]
    assert [headers["Access-Control-Allow-Credentials"] for headers in returned] == [None, None]
