"""URL configuration of the whole project."""

from django.conf import settings
from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path, re_path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularRedocView, SpectacularSwaggerSplitView

from hyperwatch.api.keys import AnonymousReadOrApiKey
from hyperwatch.api.views import NotFoundView
from hyperwatch.pages import health, start, websocket_docs
from hyperwatch.pages.login import LoginForm
from hyperwatch.pages.read_permission import needs_read_permission

# The sidebar takes width from the lists' columns; its links are on the admin's index page.
admin.site.enable_nav_sidebar = False
admin.site.login_form = LoginForm

urlpatterns: list[URLPattern | URLResolver] = [
    path("", start.start, name="start"),
    path("favicon.ico", RedirectView.as_view(url="/static/hyperwatch/icon.svg")),
    path("health", health.health, name="health"),
    path("health/ready", needs_read_permission(health.ready), name="ready"),
    path("metrics", needs_read_permission(health.metrics), name="metrics"),
    path("admin/", admin.site.urls),
    path("api/schema", SpectacularAPIView.as_view(permission_classes=[AnonymousReadOrApiKey]), name="schema"),
    path("api/asyncapi", needs_read_permission(websocket_docs.asyncapi), name="asyncapi"),
    path("docs/ws", websocket_docs.page, name="socket"),
    path("docs", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="docs"),
    path("redoc", SpectacularRedocView.as_view(url_name="schema"), name="redoc"),
    *(path("api/v1/", include(f"{app}.urls")) for app in [*settings.DOMAINS, "realtime"]),
    # Last: the 404 of unrouted API paths is in the envelope, with and without DEBUG.
    re_path(r"^api(/|$)", NotFoundView.as_view()),
]

handler400 = "hyperwatch.api.errors.bad_request"
handler404 = "hyperwatch.api.errors.page_not_found"
handler500 = "hyperwatch.api.errors.server_error"
