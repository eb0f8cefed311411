from hyperwatch import settings_docs
from hyperwatch.settings_docs import Group, Section
from hyperwatch.tests.services.environment import setting_names

EXAMPLE = """\
# About the file.

# --- A title: with a sentence that is continued on the
# next line ------------------------------------------------
SECRET=change-me
# Two settings
# with one description.
# FIRST=1
# SECOND=
#     make-one --now
# THIRD=a|b
"""


def test_settings_page_is_current() -> None:
    assert settings_docs.PAGE.read_text() == settings_docs.page(), "docs/configuration.md: run `make docs`"


def test_settings_page_lists_every_setting_once() -> None:
    rows = [line for line in settings_docs.page().splitlines() if line.startswith("| `")]
    names = [part.strip("`| ") for row in rows for part in row.split(" | ")[0].split("<br>")]
    assert sorted(names) == sorted(setting_names())


def test_example_is_read_by_sections_and_groups() -> None:
    assert settings_docs.parse(EXAMPLE) == [
        Section(
            "A title: with a sentence that is continued on the next line",
            [
                Group([], {"SECRET": ""}),
                Group(["Two settings", "with one description."], {"FIRST": "1", "SECOND": ""}),
                Group(["    make-one --now"], {"THIRD": "a|b"}),
            ],
        )
    ]


def test_accepted_values_are_those_of_the_refusals() -> None:
    accepted = settings_docs.accepted_values(["SERVER_PORT", "LOG_FORMAT", "DEBUG", "DATABASE_URL", "ADMIN_PASSWORD"])
    assert accepted == {
        "SERVER_PORT": "a whole number from 1 to 65535",
        "LOG_FORMAT": "one of console, json",
        "DEBUG": "true or false",
        "DATABASE_URL": "postgresql://user:password@host:5432/name",
    }


def test_rendered_group_shares_one_row_and_escapes_bars() -> None:
    page = settings_docs.render(settings_docs.parse(EXAMPLE), {"FIRST": "a number"})
    assert "## A title\n\nWith a sentence that is continued on the next line.\n" in page
    assert "| `FIRST`<br>`SECOND` | `1`<br>none | a number<br>text | Two settings with one description. |" in page
    assert r"| `THIRD` | `a\|b` | text | `make-one --now` |" in page
