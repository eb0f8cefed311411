"""`/`: for a person a page that shows that it lives, for a program where to look."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render

from hyperwatch import __version__
from realtime.streams import channels


def start(request: HttpRequest) -> HttpResponse:
    if request.accepts("text/html") and "text/html" in request.headers.get("Accept", ""):
        told = {"version": __version__, "channels": channels(), "reads_open": settings.ALLOW_ANONYMOUS_READS}
        return render(request, "hyperwatch/start.html", told)
    return JsonResponse({"message": "Hyperwatch", "version": __version__, "docs": "/docs"})


def simulated_data(request: HttpRequest) -> dict[str, bool]:
    """For every template: whether what it shows is simulated."""
    return {"market_is_simulated": settings.SIMULATED_DATA}
