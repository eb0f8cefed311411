"""The admin's login: so many attempts in a window, from each address."""

from typing import Any, cast

from django.conf import settings
from django.contrib.admin.forms import AdminAuthenticationForm
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from hyperwatch.limits.throttling import RateWindow, anonymous_id, rate_counter, read_rate


class LoginForm(AdminAuthenticationForm):
    """Whoever tries too often is not even compared with a password, a right one included."""

    def clean(self) -> dict[str, Any]:
        window = RateWindow.now(read_rate(settings.THROTTLE_LOGINS))
        told = cast(HttpRequest, self.request).META
        counter = window.counter("logins", anonymous_id(told.get("HTTP_X_FORWARDED_FOR", ""), told["REMOTE_ADDR"]))
        if rate_counter.count({counter: 1}, window.seconds)[counter] > window.rate.limit:
            raise ValidationError(f"Too many attempts to log in; again in {window.reset} s.", code="throttled")
        return super().clean()
