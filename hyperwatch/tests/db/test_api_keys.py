"""Permissions to write, and to read where reads need a key."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings
from rest_framework_api_key.models import APIKey

from hyperwatch.tests.api_client import ask, authorization, write
from whales.models import WhaleWatch

pytestmark = pytest.mark.django_db

WHALE = {"wallet_address": "0x" + "a" * 40}


@pytest.mark.parametrize(
    "authorization", ["", "Api-Key", "Api-Key wrong", "Api-Key a.b", "Api-Key a\0.b", "Bearer x", "Api-Key é"]
)
def test_without_a_key_that_is_known_nothing_is_written(authorization: str) -> None:
    answer = write("POST", "/whales", WHALE, 401, HTTP_AUTHORIZATION=authorization)
    assert answer["message"] == "Unauthorized"
    response = Client().post("/api/v1/whales", WHALE, "application/json")
    assert response["WWW-Authenticate"] == "Api-Key"
    assert not WhaleWatch.objects.exists()


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_every_write_needs_a_key(method: str) -> None:
    whale = WhaleWatch.objects.create(**WHALE)
    write(method, f"/whales/{whale.pk}", {}, 401, HTTP_AUTHORIZATION="")
    write(method, f"/whales/{whale.pk}", {})


def test_revoked_or_expired_key_is_rejected_for_reads() -> None:
    key, text = APIKey.objects.create_key(name="test")
    headers = {"HTTP_AUTHORIZATION": f"Api-Key {text}"}
    ask("/whales", 200, **headers)
    key.expiry_date = timezone.now() - timedelta(seconds=1)
    key.save()
    assert ask("/whales", 401, **headers)["error"] == "the API key has expired"
    key.revoked = True
    key.save()
    assert ask("/whales", 401, **headers)["error"] == "the API key is unknown or revoked"


def test_a_key_is_kept_as_a_hash() -> None:
    key, text = APIKey.objects.create_key(name="test")
    assert text.partition(".")[2] not in str(vars(key))


def test_a_key_is_made_and_revoked_in_the_admin() -> None:
    client = admin_at_the_door()
    made = client.post("/admin/rest_framework_api_key/apikey/add/", {"name": "bot"}, follow=True)
    found = re.search(r"[A-Za-z0-9]{8}\.[A-Za-z0-9]{32}", made.content.decode())
    assert found, "it is shown once"
    headers: Any = {"HTTP_AUTHORIZATION": f"Api-Key {found[0]}"}
    write("POST", "/whales", WHALE, **headers)
    key = APIKey.objects.get(name="bot")
    page = f"/admin/rest_framework_api_key/apikey/{key.pk}/change/"
    assert found[0] not in client.get(page).content.decode()
    client.post(page, {"name": "bot", "revoked": "on"})
    write("POST", "/whales", WHALE, 401, **headers)


def admin_at_the_door() -> Client:
    """A user with a name, a password and a session."""
    User.objects.create_superuser("admin", password="a long enough one")
    client = Client()
    assert client.post("/admin/login/", {"username": "admin", "password": "a wrong one"}).status_code == 200
    assert client.get("/admin/").status_code == 302
    client.post("/admin/login/", {"username": "admin", "password": "a long enough one"})
    assert client.get("/admin/").status_code == 200
    return client


def test_admin_session_write_needs_csrf_token() -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create_superuser("admin"))
    refused = client.post("/api/v1/whales", WHALE, "application/json")
    assert (refused.status_code, refused.json()["code"]) == (403, 403)
    client.get("/api/v1/whales", HTTP_ACCEPT="text/html")
    token = client.cookies["csrftoken"].value
    assert client.post("/api/v1/whales", WHALE, "application/json", headers={"X-CSRFToken": token}).status_code == 200


def test_user_without_admin_rights_cannot_write() -> None:
    client = Client()
    client.force_login(User.objects.create_user("guest"))
    response = client.post("/api/v1/whales", WHALE, "application/json")
    assert (response.status_code, response.json()["code"]) == (403, 403)


def test_admin_write_needs_model_permission() -> None:
    client, admin = Client(), User.objects.create_user("clerk", is_staff=True)
    client.force_login(admin)
    assert client.post("/api/v1/whales", WHALE, "application/json").status_code == 403
    admin.user_permissions.add(Permission.objects.get(codename="add_whalewatch"))
    made = client.post("/api/v1/whales", WHALE, "application/json")
    assert made.status_code == 200
    path = f"/api/v1/whales/{made.json()['data']['id']}"
    assert client.patch(path, {"alias": "x"}, "application/json").status_code == 403
    assert client.delete(path).status_code == 403


def test_reads_can_be_closed(settings: Settings) -> None:
    # A cached response needs a key too, and so does a 304.
    tag = Client().get("/api/v1/liquidations")["ETag"]
    settings.ALLOW_ANONYMOUS_READS = False
    ask("/liquidations", 401, HTTP_IF_NONE_MATCH=tag)
    for path in ("/liquidations", "/whales", "/coins"):
        ask(path, 401)
        ask(path, 200, **authorization())
    key = authorization()["HTTP_AUTHORIZATION"]
    for path in ("/metrics", "/health/ready", "/api/schema", "/api/asyncapi"):
        refused = Client().get(path)
        assert (refused.status_code, refused["WWW-Authenticate"]) == (401, "Api-Key"), path
        assert Client().get(path, HTTP_AUTHORIZATION="Api-Key a.b").status_code == 401
        assert Client().get(path, headers={"Authorization": key}).status_code == 200
    assert Client().get("/health").status_code == 200
