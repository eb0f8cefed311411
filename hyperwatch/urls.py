"""Every path there is."""

from django.contrib import admin
from django.urls import path

from hyperwatch import health

urlpatterns = [
    path("health", health.health, name="health"),
    path("health/ready", health.ready, name="ready"),
    path("metrics", health.metrics, name="metrics"),
    path("admin/", admin.site.urls),
]
