"""The built template as the local run reads it."""

from pathlib import Path

import pytest

from infra.local.errors import TemplateError
from infra.local.functions.invoker import Target
from infra.local.stack import read_stack
from infra.local.triggers.route import Route, Stage, read_routes, read_stage


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
    [stage] = stack.resources("AWS::ApiGatewayV2::Stage", "1").values()
    assert read_stage(stage) == Stage("$default", 1000, 1000)
    [api] = stack.resources("AWS::ApiGatewayV2::Api", "1").values()
    routes = read_routes(api)
    assert set(routes) == {Route("ANY", "/{proxy+}"), Route("POST", "/models/{model}")}
    assert {route.target for route in routes} == {Target("shop-InferenceFunction", "live")}
    assert {key: value for key, (value, _) in stack.outputs(stack.predict()).items()} == {
        "ApiUrl": "https://local.execute-api.eu-west-1.amazonaws.com",
        "FunctionName": "shop-InferenceFunction",
        "AliasArn": f"{function.arn}:live",
    }


def test_needs_no_profile_of_the_user(build: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "absent")
    assert read_stack(build, "shop", "eu-west-1").name == "shop"


def test_says_what_is_missing(build: Path, tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match=r"template\.yaml is missing: run `sam build` first"):
        read_stack(tmp_path, "shop", "eu-west-1")
    edit(build, "CodeUri: InferenceFunction", "CodeUri: Absent")
    with pytest.raises(TemplateError, match="Absent is missing: run `sam build` first"):
        read_stack(build, "shop", "eu-west-1")


@pytest.mark.parametrize(
    ("name", "reader"),
    [
        *(("AWS_ENDPOINT_URL", "Lambda or"), ("AWS_CONFIG_FILE", "Lambda or")),
        *(("AWS_LAMBDA_EXEC_WRAPPER", "Lambda or"), ("LAMBDA_TASK_ROOT", "Lambda or")),
        *(("LD_PRELOAD", "the loader"), ("LD_AUDIT", "the loader"), ("GCONV_PATH", "the loader")),
        *(("GLIBC_TUNABLES", "the loader"), ("LOCPATH", "the loader"), ("LC_ALL", "the loader")),
        *(("PYTHONPATH", "an inter"), ("PYTHONSTARTUP", "an inter"), ("PYTHONHOME", "an inter")),
        *(("NODE_OPTIONS", "an inter"), ("PERL5OPT", "an inter"), ("JAVA_TOOL_OPTIONS", "an int")),
        *(("PATH", "a shell"), ("HOME", "a shell"), ("BASH_ENV", "a shell"), ("ENV", "a shell")),
        *(("OPENSSL_CONF", "a TLS"), ("SSL_CERT_FILE", "a TLS"), ("HTTPS_PROXY", "a TLS")),
        *(("GIT_SSH_COMMAND", "a program"), ("BROWSER", "a program"), ("PAGER", "a program")),
        ("OMP_TOOL_LIBRARIES", "a runtime of threads"),
        *(("http_proxy", ""), ("lower", ""), ("_X", ""), ("1X", ""), ("A-B", ""), ("A=B", "")),
        *(("Ä", ""), ("MIXEDcase", ""), ("X\\nY", "")),
    ],
)
def test_a_variable_that_is_not_the_template_s_own_is_refused(
    build: Path, name: str, reader: str
) -> None:
    edit(build, "GREETING: hello", f'"{name}": x')
    why = f"which {reader}.* reads" if reader else "expected capital letters"
    with pytest.raises(TemplateError, match=f"the template sets the environment variable .*{why}"):
        read_stack(build, "shop", "eu-west-1")


def test_a_template_that_is_sent_sets_no_variable_that_the_built_one_does_not(build: Path) -> None:
    # GIVEN the built template, and another one that was sent to CloudFormation
    body = (build / "template.yaml").read_text()
    known = body.replace("GREETING: hello", "GREETING: goodbye")
    unknown = body.replace("GREETING: hello", "SOME_LIBRARYS_PLUGIN: /tmp/plugin.so")
    # THEN it may change a value, and add no name
    stack = read_stack(build, "shop", "eu-west-1", body=known)
    assert stack.function.environment["GREETING"] == "goodbye"
    with pytest.raises(
        TemplateError, match="'SOME_LIBRARYS_PLUGIN', which the built template does"
    ):
        read_stack(build, "shop", "eu-west-1", body=unknown)


@pytest.mark.parametrize(
    "name",
    [
        *("ORT_DISABLE_TELEMETRY", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MANIFEST_URL"),
        *("POWERTOOLS_SERVICE_NAME", "SHOP", "X_1", "AWS_RETRY_MODE", "TZ_OF_SHOP", "LESSONS"),
    ],
)
def test_a_variable_of_the_template_s_own_is_taken(build: Path, name: str) -> None:
    edit(build, "GREETING: hello", f"{name}: x")
    assert read_stack(build, "shop", "eu-west-1").function.environment[name] == "x"


def test_a_variable_with_nul_is_refused(build: Path) -> None:
    edit(build, "GREETING: hello", r'GREETING: "a\0b"')
    with pytest.raises(TemplateError, match="sets GREETING to a text with a NUL character"):
        read_stack(build, "shop", "eu-west-1")


@pytest.mark.parametrize("field", ["CodeUri: Inference", "ContentUri: Runtime"])
@pytest.mark.parametrize("place", ["/etc", "../build", "ModelLayer/model", ".", ".."])
def test_code_comes_from_the_build_alone(build: Path, field: str, place: str) -> None:
    # GIVEN another template than the built one
    body = (build / "template.yaml").read_text()
    key, _, folder = field.partition(": ")
    whole = f"{key}: {'InferenceFunction' if folder == 'Inference' else 'RuntimeLayer'}"
    assert whole in body
    with pytest.raises(
        TemplateError, match=r"takes code from a folder named .*: expected one that"
    ):
        read_stack(build, "shop", "eu-west-1", body=body.replace(whole, f'{key}: "{place}"'))


@pytest.mark.parametrize(
    "handler",
    ["os.system", "subprocess.run", "app", ".handler", "app.", "../app.handler", "a b.c", "-c.x"],
)
def test_the_handler_is_in_the_build(build: Path, handler: str) -> None:
    edit(build, "Handler: app.handler", f'Handler: "{handler}"')
    with pytest.raises(TemplateError, match=r"Handler is .*: expected module\.function"):
        read_stack(build, "shop", "eu-west-1")


def test_the_handler_may_be_in_a_layer_or_a_package(build: Path) -> None:
    for handler in ("greeting.handler", "shop.api.handler", "shop/api.handler"):
        (build / "InferenceFunction" / "shop").mkdir(exist_ok=True)
        (build / "InferenceFunction" / "shop" / "api.py").touch()
        template = (build / "template.yaml").read_text()
        edit(build, "Handler: app.handler", f"Handler: {handler}")
        assert read_stack(build, "shop", "eu-west-1").function.handler == handler
        (build / "template.yaml").write_text(template)


def test_the_runtime_is_one_of_python(build: Path) -> None:
    edit(build, "Runtime: python3.13", "Runtime: ../../tmp:/tmp")
    with pytest.raises(TemplateError, match=r"Runtime is '\.\./.*', expected one of Python"):
        read_stack(build, "shop", "eu-west-1")


def test_says_what_sam_refuses(build: Path) -> None:
    edit(build, "Method: POST", "Method: [POST]")
    with pytest.raises(TemplateError, match="InferenceFunction"):
        read_stack(build, "shop", "eu-west-1")
