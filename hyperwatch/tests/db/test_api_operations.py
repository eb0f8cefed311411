"""Operations of the OpenAPI document: texts for users, examples that match the schemas, and requests that succeed."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from drf_spectacular.generators import SchemaGenerator
from jsonschema_rs import Draft202012Validator

from hyperwatch.tests.api_client import write
from realtime.tests.builders import WALLET, liquidation_map, stored, transaction
from whales.models import WhaleWatch

JSON = "application/json"
OPERATION_IDS = {
    "createWhale", "deleteWhale", "getLiquidationMap", "getLiquidationStats", "getTransaction", "getWhale", "listCoins",
    "listCurrentRatios", "listLiquidations", "listPositions", "listRatioHistory", "listRecentLiquidations",
    "listTransactions", "listWhaleActivities", "listWhales", "updateWhale",
}  # fmt: skip


@pytest.fixture(scope="module")
def document() -> Any:
    return SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]


def operations(document: Any) -> Iterator[tuple[str, str, Any]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def test_operation_has_id_summary_description_and_tag(document: Any) -> None:
    found = [operation for _, _, operation in operations(document)]
    assert {operation["operationId"] for operation in found} == OPERATION_IDS
    tags = {tag["name"] for tag in document["tags"] if tag["description"]}
    for operation in found:
        assert re.fullmatch(r"(List|Get|Watch|Update|Delete) [^.]{5,50}", operation["summary"])
        assert re.match(r"(Returns|Creates|Changes|Deletes) ", operation["description"])
        assert set(operation["tags"]) <= tags, operation["operationId"]
    assert {tag for operation in found for tag in operation["tags"]} == tags


def test_schema_descriptions_contain_no_inherited_docstring(document: Any) -> None:
    descriptions = [
        schema["description"] for schema in document["components"]["schemas"].values() if "description" in schema
    ]
    assert descriptions
    assert not {text for text in descriptions if "stored fact" in text or "made from a stream" in text}


def test_response_examples_match_their_schemas(document: Any) -> None:
    for path, method, operation in operations(document):
        for status, response in operation["responses"].items():
            if content := response.get("content"):
                body = content[JSON]
                Draft202012Validator(_strict(body["schema"], document)).validate(body["example"])
                assert body["example"]["code"] == int(status), (path, method)


def test_csv_examples_have_a_row(document: Any) -> None:
    tables = [operation["responses"]["200"]["content"].get("text/csv") for _, _, operation in operations(document)]
    assert all(len(table["example"].splitlines()) == 2 for table in tables if table)


def _strict(schema: Any, document: Any) -> Any:
    """The JSON schema of an OpenAPI 3.0 schema: references resolved, `nullable` as a type, no unknown properties."""
    if isinstance(schema, list):
        return [_strict(item, document) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _strict(document["components"]["schemas"][schema["$ref"].rpartition("/")[2]], document)
    strict = {name: _strict(value, document) for name, value in schema.items() if name != "example"}
    if "properties" in schema:
        strict.setdefault("additionalProperties", False)
    return {"anyOf": [{"type": "null"}, strict]} if schema.get("nullable") else strict


def test_optional_parameters_are_not_prefilled(document: Any) -> None:
    for path, _, operation in operations(document):
        for parameter in operation.get("parameters", []):
            prefilled = {"example", "default"} & (set(parameter) | set(parameter["schema"]))
            assert prefilled == ({"example"} if parameter.get("required") else set()), (path, parameter["name"])


@pytest.mark.django_db(transaction=True)
def test_documented_request_succeeds_for_every_read(document: Any) -> None:
    WhaleWatch.objects.create(pk=1, wallet_address=WALLET)
    stored(liquidation_map(), transaction(tx_hash="0x" + "e9" * 32))
    for path, method, operation in operations(document):
        if method == "get":
            required = [parameter for parameter in operation.get("parameters", []) if parameter.get("required")]
            values = {parameter["name"]: parameter["schema"]["example"] for parameter in required}
            query = {item["name"]: values[item["name"]] for item in required if item["in"] == "query"}
            assert Client().get(path.format(**values), query).status_code == 200, path


@pytest.mark.django_db
def test_documented_body_creates_and_updates_a_whale(document: Any) -> None:
    create, update = (
        next(iter(document["paths"][path][method]["requestBody"]["content"][JSON]["examples"].values()))["value"]
        for path, method in (("/api/v1/whales", "post"), ("/api/v1/whales/{whale_id}", "patch"))
    )
    whale = write("POST", "/whales", create)["data"]
    assert write("PATCH", f"/whales/{whale['id']}", update)["data"]["is_active"] is False
