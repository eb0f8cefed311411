"""PostgreSQL and Kafka, started by `manage.py up` if no other ones are configured."""


class CannotStartError(Exception):
    """An embedded service cannot run here; the text is shown to the user and says what to do."""
