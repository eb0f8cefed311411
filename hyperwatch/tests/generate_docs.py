"""`make docs`: writes the generated parts of docs/ from the code. Tests compare them with the files.

docs/configuration.md is written whole from the settings; docs/testing.md contains the fault matrix of mutations.toml
between two comments.
"""

from pathlib import Path

from hyperwatch import settings_docs
from hyperwatch.tests.mutations import table

TESTING_PAGE = settings_docs.PAGE.with_name("testing.md")
BEGIN = "<!-- Written by `make docs` from hyperwatch/tests/mutations.toml. Changes belong there. -->"
END = "<!-- End of the generated table. -->"


def render_testing_page() -> str:
    """docs/testing.md with the current fault matrix; raises ValueError if it lacks the comments around it."""
    before, _, rest = TESTING_PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    if not rest or not after:
        raise ValueError(f"{TESTING_PAGE}: expected the comments {BEGIN} and {END}, once each")
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"


def pages() -> dict[Path, str]:
    return {settings_docs.PAGE: settings_docs.page(), TESTING_PAGE: render_testing_page()}


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text)
