"""Runs a function of `references` with Django set up: `python -m hyperwatch.bench.processes.django_entry`."""

import sys

import django
from django.utils.module_loading import import_string


def main(name: str, *numbers: str) -> None:
    django.setup()
    import_string(f"hyperwatch.bench.references.{name}")(*map(int, numbers))


if __name__ == "__main__":
    main(*sys.argv[1:])
