"""What `manage.py up` brings along where nothing is configured: a PostgreSQL and a Kafka of its own."""


class CannotStartError(Exception):
    """An embedded part cannot run here; the text is for the person at the terminal and says what to do."""
