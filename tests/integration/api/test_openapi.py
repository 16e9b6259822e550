"""The OpenAPI description: valid, and about this very model."""

import json

import pytest
from fastapi import FastAPI
from openapi_spec_validator import validate

from api.app import create_app
from serving.model import load_model
from tests.example_model import CONTRACT, FOLDER


@pytest.fixture(scope="module")
def app() -> FastAPI:
    return create_app(load_model(FOLDER))


def test_the_description_is_valid_openapi(app: FastAPI) -> None:
    validate(app.openapi())


def test_the_description_shows_the_features_and_their_ranges(app: FastAPI) -> None:
    manifest = json.loads(CONTRACT.read_text())
    infer = app.openapi()["paths"]["/v2/models/{name}/infer"]["post"]

    body = infer["requestBody"]["content"]["application/json"]
    [tensor] = body["schema"]["properties"]["inputs"]["items"]["anyOf"]

    for feature in manifest["inputs"][0]["features"]:
        assert f"`{feature['name']}`" in tensor["description"]
        assert feature["description"] in tensor["description"]
        text = f"mostly {feature['minimum']:g} to {feature['maximum']:g} in training"
        assert text in tensor["description"]
    assert body["example"]["inputs"][0]["data"] == manifest["example"]["features"][0]
