"""What `sam build` made and samconfig.toml asks for, against what is deployed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.release.errors import ReleaseError

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient

ONCE = ("AllowContractChange", "DeploymentType", "MaxAnswerChange")


@dataclass(frozen=True)
class Build:
    """A built template, and the folder that its paths start from."""

    directory: Path
    template: Mapping[str, Any]


def read_build(directory: Path) -> Build:
    """Read what was built last; raise ReleaseError if nothing was."""
    from samcli.yamlhelper import yaml_parse

    try:
        return Build(directory, yaml_parse((directory / "template.yaml").read_text("utf-8")))
    except OSError as error:
        raise ReleaseError(f"{directory}/template.yaml is missing: run `sam build`") from error


def read_deployed(cloudformation: "CloudFormationClient", stack: str) -> Mapping[str, Any]:
    """Return the template with which a stack was deployed last."""
    from samcli.yamlhelper import yaml_parse

    body: Any = cloudformation.get_template(StackName=stack, TemplateStage="Original")
    template = body["TemplateBody"]
    return yaml_parse(template) if isinstance(template, str) else dict(template)


def publishes(build: Build, deployed: Mapping[str, Any]) -> bool | None:
    """Tell whether a deploy would publish a version; None if the stack was not made by SAM.

    As SAM decides it with AutoPublishAliasAllProperties: by the properties of the function and of
    the layers, in which SAM CLI puts digests of the built folders.
    """
    from samcli.lib.utils.hash import dir_checksum

    before = _release(deployed, lambda uri: _name_object(uri).rpartition("/")[2])
    if before is None:
        return None
    return before != _release(build.template, lambda uri: dir_checksum(str(build.directory / uri)))


def complete(
    build: Build,
    overrides: Mapping[str, str],
    versions: Sequence[str],
    believed: str,
    *,
    publishes: bool | None,
) -> dict[str, str]:
    """Add the parameters that this very release needs to those that are set.

    A failed release leaves its version behind, an orphan. Lambda publishes nothing that equals the
    newest version, so the same files could never be released again: CloudFormation would fail with
    "A version for this Lambda function exists". ReleaseAttempt makes it differ, with a number that
    no attempt has had, and then stays: its absence would be a difference, too.
    """
    declared = build.template.get("Parameters", {})
    # Of a parameter that is not set SAM keeps the deployed value; these are for one release.
    once = {key: str(declared[key]["Default"]) for key in ONCE if key in declared}
    has_orphan = int(versions[-1]) > int(believed) if versions else False
    if has_orphan and publishes is not False and "ReleaseAttempt" in declared:
        once["ReleaseAttempt"] = str(int(versions[-1]) + 1)
    return once | dict(overrides)


def _release(template: Mapping[str, Any], digest: Callable[[Any], str]) -> dict[str, Any] | None:
    """Return what decides whether a version is published; None if there is no such function."""
    function = _find_function(template)
    if function is None:
        return None
    parts: dict[str, Any] = {"globals": template.get("Globals", {}).get("Function")}
    for name, resource in template["Resources"].items():
        if name == function or resource["Type"] == "AWS::Serverless::LayerVersion":
            properties = dict(resource["Properties"])
            for field in {"CodeUri", "ContentUri"} & properties.keys():
                properties[field] = digest(properties[field])
            parts[name] = properties
    return parts


def _find_function(template: Mapping[str, Any]) -> str | None:
    """Return the logical id of the function that has versions."""
    for name, resource in template.get("Resources", {}).items():
        if "AutoPublishAlias" in resource.get("Properties", {}):
            return str(name)
    return None


def _name_object(uri: Any) -> str:
    """Return the S3 key of a packaged folder, however SAM CLI has written it down."""
    return str(uri.get("Key", "")) if isinstance(uri, Mapping) else str(uri)
