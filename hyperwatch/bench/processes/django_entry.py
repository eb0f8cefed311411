"""`python -m hyperwatch.bench.processes.django_entry`: calls a function of this package, Django set up."""

import sys

import django
from django.utils.module_loading import import_string


def main(name: str, *numbers: str) -> None:
    django.setup()
    import_string(f"{__package__}.{name}")(*map(int, numbers))


if __name__ == "__main__":
    main(*sys.argv[1:])
