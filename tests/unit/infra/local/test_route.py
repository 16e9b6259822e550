"""Which route of an HTTP API a request takes."""

import pytest

from infra.local.triggers.route import Route, match

ROUTES = (
    Route("ANY", "/{proxy+}"),
    Route("ANY", "/models/{proxy+}"),
    Route("GET", "/models/{model}"),
    Route("GET", "/models/list"),
    Route("ANY", "/models/{model}/infer"),
    Route("POST", "/models/{model}/infer"),
    Route("GET", "/files/{name}.txt"),
)


@pytest.mark.parametrize(
    ("method", "path", "key", "parameters"),
    [
        ("GET", "/models/a", "GET /models/{model}", {"model": "a"}),
        ("GET", "/models/list", "GET /models/list", {}),
        ("PUT", "/models/a", "ANY /models/{proxy+}", {"proxy": "a"}),
        ("POST", "/models/a/infer", "POST /models/{model}/infer", {"model": "a"}),
        ("GET", "/models/a/infer", "ANY /models/{model}/infer", {"model": "a"}),
        ("GET", "/models/a/b/c", "ANY /models/{proxy+}", {"proxy": "a/b/c"}),
        ("GET", "/x/y", "ANY /{proxy+}", {"proxy": "x/y"}),
        ("GET", "/files/a.txt", "GET /files/{name}.txt", {"name": "a"}),
        ("GET", "/files/atxt", "ANY /{proxy+}", {"proxy": "files/atxt"}),
    ],
)
def test_takes_the_most_specific_route(
    method: str, path: str, key: str, parameters: dict[str, str]
) -> None:
    matched = match(ROUTES, method, path)
    assert matched is not None
    assert (matched[0].key, matched[1]) == (key, parameters)


def test_takes_no_route_if_none_fits() -> None:
    assert match(ROUTES, "GET", "/") is None
    assert match((Route("GET", "/a"),), "POST", "/a") is None


def test_takes_the_default_route_last() -> None:
    routes = (Route("ANY", "/$default"), Route("ANY", "/{proxy+}"))
    for path, key in (("/a", "ANY /{proxy+}"), ("/", "$default")):
        matched = match(routes, "GET", path)
        assert matched is not None
        assert matched[0].key == key
