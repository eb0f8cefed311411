"""Rate limit of the admin login, by client address."""

from typing import Any, cast

from django.conf import settings
from django.contrib.admin.forms import AdminAuthenticationForm
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from hyperwatch.limits.throttling import RateWindow, anonymous_id, rate_counter, read_rate


class LoginForm(AdminAuthenticationForm):
    """Checks the rate before the password: beyond the limit a valid password is rejected, too."""

    def clean(self) -> dict[str, Any]:
        window = RateWindow.now(read_rate(settings.THROTTLE_LOGINS))
        headers = cast(HttpRequest, self.request).META
        counter = window.counter(
            "logins", anonymous_id(headers.get("HTTP_X_FORWARDED_FOR", ""), headers["REMOTE_ADDR"])
        )
        if rate_counter.count({counter: 1}, window.ttl_seconds)[counter] > window.rate.limit:
            raise ValidationError(f"Too many login attempts. Try again in {window.seconds_left} s.", code="throttled")
        return super().clean()
