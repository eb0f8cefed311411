"""Password guessing at the admin login."""

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client
from pytest_django.fixtures import Settings

pytestmark = pytest.mark.django_db

LOGIN = "/admin/login/?next=/admin/"
RIGHT, WRONG = "a long password", "a wrong password"


@pytest.fixture(autouse=True)
def _operator(settings: Settings) -> None:
    """Three attempts a day: a shorter window could end within a test."""
    settings.THROTTLE_LOGINS = "3/day"
    cache.clear()
    User.objects.create_superuser("operator", "", RIGHT)


def attempt(password: str, address: str = "10.0.0.1") -> str:
    """The error on the page; empty after a successful login."""
    answer = Client(REMOTE_ADDR=address).post(LOGIN, {"username": "operator", "password": password})
    return answer.content.decode() if answer.status_code == 200 else ""


def test_throttled_login_rejects_valid_password() -> None:
    for _ in range(3):
        assert "Please enter the correct username and password" in attempt(WRONG)
    for password in (WRONG, RIGHT):
        refused = attempt(password)
        assert "Too many login attempts. Try again in " in refused
        assert "Please enter the correct" not in refused
    assert attempt(RIGHT, "10.0.0.2") == ""


def test_a_slip_or_two_cost_nothing() -> None:
    attempt(WRONG)
    attempt(WRONG)
    assert attempt(RIGHT) == ""
