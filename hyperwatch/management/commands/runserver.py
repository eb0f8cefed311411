"""`manage.py runserver`, which is daphne's. Its app would bring Twisted into every other command."""

from daphne.management.commands.runserver import Command

__all__ = ["Command"]
