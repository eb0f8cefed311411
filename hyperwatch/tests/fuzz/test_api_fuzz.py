"""Schemathesis against the OpenAPI document: no failure of ours, and no answer that it does not tell."""

import os
from typing import Any

import pytest
import schemathesis
from django.core.handlers.wsgi import WSGIHandler
from hypothesis import HealthCheck, Phase, settings
from pytest_django.fixtures import Settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from hyperwatch.tests.api_client import authorization
from realtime.tests.builders import (
    WALLET,
    liquidation,
    liquidation_map,
    position_summary,
    ratio,
    stored,
    transaction,
)
from whales.models import WhaleWatch

# For each operation. A hundred in CI, fewer in a local run.
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES") or ("100" if os.environ.get("CI") == "true" else "25"))
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]

GENERATED = settings(
    max_examples=EXAMPLES,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)

schema = schemathesis.openapi.from_wsgi("/api/schema?format=json", WSGIHandler())


@pytest.fixture
def filled(settings: Settings) -> dict[str, str]:
    """Some rows of everything, no throttling, and a key to write with."""
    settings.THROTTLE_READS = settings.THROTTLE_WRITES = "100000000/second"
    WhaleWatch.objects.create(id=1, wallet_address=WALLET, alias="Fund")
    stored(
        *(transaction(raw_data={"tid": tid, "dir": "Open Long"}) for tid in range(30)),
        *(liquidation(raw_data={"tid": tid}) for tid in range(30)),
        *(ratio(timestamp=f"2026-01-10T{hour:02}:00:00Z") for hour in range(12)),
        liquidation_map(),
        position_summary(),
    )
    # This client does not decompress; compression has its own tests.
    return {"Authorization": authorization()["HTTP_AUTHORIZATION"], "Accept-Encoding": "identity"}


@pytest.mark.django_db(transaction=True)
@schema.parametrize()
@GENERATED
def test_no_request_finds_an_answer_that_is_not_told(case: Any, filled: dict[str, str]) -> None:
    case.call_and_validate(headers=filled, checks=CHECKS)
