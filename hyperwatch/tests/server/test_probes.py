"""`/health`, `/health/ready` and `/metrics` as orchestrators request them: by pod address, in any state."""

import http.client
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg2
import pytest

from hyperwatch.harness.app_process import AppProcess
from hyperwatch.harness.postgres import Database
from hyperwatch.harness.process import free_port
from hyperwatch.tests.services.commands import Start
from hyperwatch.tests.services.waiting import wait_until

POD = "10.1.2.3:8080"
HEALTHY = {"status": "healthy"}
BLOCKED = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"


def get(web: AppProcess, path: str, method: str = "GET", **headers: str) -> tuple[int, bytes, dict[str, str]]:
    with closing(http.client.HTTPConnection("127.0.0.1", web.port, timeout=10)) as connection:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read(), {name.lower(): value for name, value in response.getheaders()}


def test_probes_accept_any_host_and_pages_do_not(web_server: Start) -> None:
    web = web_server(ALLOWED_HOSTS="hyperwatch.example.com")
    assert [get(web, path, Host=POD)[0] for path in ("/health", "/health/ready", "/metrics")] == [200, 200, 200]
    assert [get(web, path, Host=POD)[0] for path in ("/", "/api/v1/coins", "/health/")] == [400, 400, 400]
    assert get(web, "/api/v1/coins", Host="hyperwatch.example.com")[0] == 200
    assert f"serving on http://127.0.0.1:{web.port}" in web.output()


def test_health_has_the_headers_of_other_responses(web_server: Start) -> None:
    web = web_server(CORS_ALLOWED_ORIGINS="https://a.example")
    sent = {"Origin": "https://a.example", "X-Request-ID": "mine-7"}
    status, body, headers = get(web, "/health?verbose=1", **sent)
    assert (status, json.loads(body)) == (200, HEALTHY)
    assert (headers["x-request-id"], headers["content-type"]) == ("mine-7", "application/json")
    common = {"x-content-type-options", "x-frame-options", "content-security-policy", "vary"}
    cors = "access-control-allow-origin"
    assert common <= set(headers)
    assert headers[cors] == get(web, "/metrics", **sent)[2].get(cors, "https://a.example")
    assert cors not in get(web, "/health", Origin="https://b.example")[2]
    assert get(web, "/health", "HEAD")[:2] == (200, b"")
    assert get(web, "/health", "POST")[0] != 200


def test_health_answers_while_all_threads_wait(web_server: Start, fresh_database: Database) -> None:
    web = web_server(HTTP_WORKER_THREADS="2", DATABASE_STATEMENT_TIMEOUT_SECONDS="20")
    with closing(psycopg2.connect(fresh_database.url)) as other, other, other.cursor() as cursor:
        cursor.execute("LOCK TABLE transactions, newest_of_coin, streams IN ACCESS EXCLUSIVE MODE")
        with ThreadPoolExecutor(4) as crowd:
            waiting = [crowd.submit(get, web, f"/api/v1/transactions?page_size={n + 1}") for n in range(4)]
            wait_until(lambda: fresh_database.value(BLOCKED) >= 2, "both threads to wait for the lock")
            for _ in range(10):
                assert json.loads(get(web, "/health", Host=POD)[1]) == HEALTHY
            assert not any(one.done() for one in waiting)
            other.rollback()
            assert [one.result()[0] for one in waiting] == [200] * 4


@pytest.mark.parametrize("path", ["/health", "/metrics"])
def test_probe_answers_without_database(path: str, web_server: Start) -> None:
    web = web_server(DATABASE_URL=f"postgresql://127.0.0.1:{free_port()}/hyperwatch")
    assert get(web, path, Host=POD)[0] == 200
