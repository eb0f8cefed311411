"""Bodies of requests."""

from typing import Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser


class DepthCheckedJSONParser(JSONParser):
    """JSON; what is nested too deeply for Python is refused, where DRF fails."""

    def parse(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().parse(*args, **kwargs)
        except RecursionError:
            raise ParseError("the JSON is nested too deeply") from None
