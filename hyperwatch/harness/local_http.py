"""HTTP requests to processes on this machine, which never go through a proxy of the environment (`http_proxy`)."""

import urllib.request
from http.client import HTTPResponse

_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def open_local(url: str | urllib.request.Request, timeout: float) -> HTTPResponse:
    """As `urllib.request.urlopen`, without a proxy."""
    response: HTTPResponse = _opener.open(url, timeout=timeout)
    return response
