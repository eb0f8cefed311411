import pytest
from django.conf import settings


@pytest.fixture(scope="session")
def test_database_url(django_db_setup: None) -> str:
    """The database that the tests write to, for a process that is to read it."""
    where = settings.DATABASES["default"]
    return f"postgres://{where['USER']}@/{where['NAME']}?host={where['HOST']}&port={where['PORT']}"
