"""`manage.py runserver` of daphne. The app `daphne` is not installed: every command would import Twisted."""

from daphne.management.commands.runserver import Command

__all__ = ["Command"]
