"""Asks the API as a client would: through the front door, and out of the envelope."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from django.test import Client
from rest_framework_api_key.models import APIKey

from hyperwatch.api.filters import StrictFilterSet


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


def walk(path: str) -> list[Any]:
    """All items of a list, by cursor."""
    separator = "&" if "?" in path else "?"
    data = get(f"{path}{separator}page_size=100&cursor=")
    items = list(data["items"])
    while cursor := data["pagination"]["next_cursor"]:
        data = get(f"{path}{separator}page_size=100&cursor={cursor}")
        items += data["items"]
    return items


def with_format(path: str, name: str = "csv") -> str:
    return f"/api/v1{path}{'&' if '?' in path else '?'}format={name}"


def download(path: str, **options: Any) -> Any:
    response = Client().get(with_format(path), **options)
    assert response.status_code == 200, response.content[:500]
    assert response["Content-Type"] == "text/csv; charset=utf-8; header=present"
    return response


def content(response: Any) -> str:
    body: bytes = response.getvalue() if response.streaming else response.content
    return body.decode()


def authorization() -> dict[str, str]:
    """The header of a client that has a new key."""
    _, key = APIKey.objects.create_key(name="test")
    return {"HTTP_AUTHORIZATION": f"Api-Key {key}"}


def write(method: str, path: str, body: Any = None, status: int = 200, **headers: Any) -> dict[str, Any]:
    """The envelope of a write, with a key unless the headers say otherwise."""
    options = {"data": body, "content_type": "application/json", **(headers or authorization())}
    response = getattr(Client(), method.lower())(f"/api/v1{path}", **options)
    assert response.status_code == status, response.content[:500]
    envelope: dict[str, Any] = response.json()
    assert envelope["code"] == status
    return envelope


class Finds(NamedTuple):
    """Checks that a filter finds the expected rows, in order."""

    filterset: type[StrictFilterSet]
    parameter: str
    path: str
    found: list[Any]


def check(cases: Iterable[Finds], reported: Callable[[Any], Any]) -> None:
    """Sends each case; `told` reads the distinguishing values from the data."""
    for case in cases:
        assert f"{case.parameter}=" in case.path
        found = reported(get(case.path))
        assert found == case.found, case.path


def check_refused(*refusals: tuple[str, str, str]) -> None:
    """That each (path, parameter, what it takes) is a 400 that says so."""
    for path, name, takes in refusals:
        envelope = ask(path, 400)
        assert envelope["message"] == "Invalid parameter"
        assert envelope["error"].startswith(f"{name} takes {takes}"), path
        assert envelope["details"] == {name: [envelope["error"]]}
