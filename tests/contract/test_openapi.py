"""docs/openapi.json is what the code serves: a change of the API is seen in the diff."""

import json

import pytest
from django.conf import settings
from drf_spectacular.generators import SchemaGenerator

DOCUMENT = settings.BASE_DIR / "docs" / "openapi.json"


@pytest.fixture(scope="module")
def schema():
    return json.loads(json.dumps(SchemaGenerator().get_schema(request=None, public=True), default=str))


def test_the_committed_openapi_document_is_the_served_one(schema):
    committed = json.loads(DOCUMENT.read_text())
    assert committed == schema, "run: python3 run.py manage spectacular --format openapi-json --file docs/openapi.json"


def test_every_openapi_operation_has_a_name_and_a_sentence(schema):
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            assert operation["operationId"], (path, method)
            assert operation["description"].strip(), (path, method)
