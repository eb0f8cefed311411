"""Asks the API as a client would: through the front door, and out of the envelope."""

from typing import Any

from django.test import Client
from rest_framework_api_key.models import APIKey


def ask(path: str, status: int = 200, method: str = "GET", **options: Any) -> dict[str, Any]:
    """The whole envelope of an answer; fails where the status is another, or the envelope says another."""
    response = Client().generic(method, f"/api/v1{path}", **options)
    assert response.status_code == status, response.content[:500]
    assert response["Content-Type"] == "application/json"
    envelope: dict[str, Any] = response.json()
    assert envelope["code"] == status
    return envelope


def get(path: str) -> Any:
    """The data of an answer."""
    return ask(path)["data"]


def refusal(path: str, status: int = 400) -> dict[str, Any]:
    """What a client is told that asks for what cannot be."""
    return ask(path, status)


def bearer() -> dict[str, str]:
    """The header of a client that has a new key."""
    _, key = APIKey.objects.create_key(name="test")
    return {"HTTP_AUTHORIZATION": f"Api-Key {key}"}


def write(method: str, path: str, body: Any = None, status: int = 200, **headers: Any) -> dict[str, Any]:
    """The envelope of a write with a key, unless the headers say otherwise."""
    options = {"data": body, "content_type": "application/json", **(headers or bearer())}
    response = getattr(Client(), method.lower())(f"/api/v1{path}", **options)
    assert response.status_code == status, response.content[:500]
    envelope: dict[str, Any] = response.json()
    assert envelope["code"] == status
    return envelope
