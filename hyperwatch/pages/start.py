"""`/`: a live page for browsers, and links as JSON for programs."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render

from hyperwatch import __version__
from realtime.streams import channels


def start(request: HttpRequest) -> HttpResponse:
    if request.accepts("text/html") and "text/html" in request.headers.get("Accept", ""):
        context = {
            "version": __version__,
            "channels": channels(),
            "allows_anonymous_reads": settings.ALLOW_ANONYMOUS_READS,
        }
        return render(request, "hyperwatch/start.html", context)
    return JsonResponse({"message": "Hyperwatch", "version": __version__, "docs": "/docs"})


def simulated_data(request: HttpRequest) -> dict[str, bool]:
    """Template context processor."""
    return {"is_simulated": settings.SIMULATED_DATA}
