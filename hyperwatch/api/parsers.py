"""Parsers of request bodies."""

from typing import Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser


class DepthCheckedJSONParser(JSONParser):
    """JSON; nesting beyond Python's recursion limit is a 400. DRF's parser raises RecursionError, which is a 500."""

    def parse(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().parse(*args, **kwargs)
        except RecursionError:
            raise ParseError("the JSON is nested too deeply") from None
