"""Text for terminals: data from outside must not move the cursor, change colours or fake a line."""

import sys
from io import TextIOWrapper


def escape_controls(text: str) -> str:
    """Replaces control, format and line-separator characters by escapes such as `\\x1b`."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def replace_unencodable() -> None:
    """Writes escapes for characters that the encoding lacks (PYTHONIOENCODING=ascii), in place of an error."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
