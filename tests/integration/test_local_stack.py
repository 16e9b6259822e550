"""The built template as the local run reads it."""

from pathlib import Path

import pytest

from infra.local.errors import StackError
from infra.local.route import Route
from infra.local.stack import read_stack


def edit(build: Path, old: str, new: str) -> None:
    template = build / "template.yaml"
    text = template.read_text()
    assert old in text
    template.write_text(text.replace(old, new))


def test_everything_comes_from_the_template(build: Path) -> None:
    # GIVEN a built stack WHEN it is read
    stack = read_stack(build, "shop", "eu-west-1")
    # THEN references, conditions and defaults of parameters are resolved
    function = stack.function
    assert function.name == "shop-InferenceFunction"
    assert function.arn == "arn:aws:lambda:eu-west-1:123456789012:function:shop-InferenceFunction"
    assert (function.handler, function.runtime) == ("app.handler", "python3.13")
    assert (function.alias, function.architecture) == ("live", "x86_64")
    assert (function.memory_mb, function.timeout_seconds) == (256, 3)
    assert (function.log_group, function.log_format) == ("/aws/lambda/shop-inference", "Text")
    assert function.environment == {
        "GREETING": "hello",
        "VOLUME": "quiet",
        "HOME_REGION": "eu-west-1",
    }
    assert function.code == build / "InferenceFunction"
    assert function.layers == (build / "RuntimeLayer", build / "ModelLayer")
    assert (stack.api.stage, stack.api.rate, stack.api.burst) == ("$default", 1000, 1000)
    assert set(stack.api.routes) == {Route("ANY", "/{proxy+}"), Route("POST", "/models/{model}")}
    assert {key: value for key, (value, _) in stack.outputs("1").items()} == {
        "ApiUrl": "https://local.execute-api.eu-west-1.amazonaws.com",
        "FunctionName": "shop-InferenceFunction",
        "AliasArn": f"{function.arn}:live",
    }


def test_needs_no_profile_of_the_user(build: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "absent")
    assert read_stack(build, "shop", "eu-west-1").name == "shop"


def test_says_what_is_missing(build: Path, tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"template\.yaml is missing: run `sam build` first"):
        read_stack(tmp_path, "shop", "eu-west-1")
    edit(build, "CodeUri: InferenceFunction", "CodeUri: Absent")
    with pytest.raises(StackError, match="Absent is missing: run `sam build` first"):
        read_stack(build, "shop", "eu-west-1")
    edit(build, "AutoPublishAlias: live", "")
    with pytest.raises(StackError, match="one AWS::Lambda::Alias, the template has 0"):
        read_stack(build, "shop", "eu-west-1")


def test_says_what_sam_refuses(build: Path) -> None:
    edit(build, "Method: POST", "Method: [POST]")
    with pytest.raises(StackError, match="InferenceFunction"):
        read_stack(build, "shop", "eu-west-1")
