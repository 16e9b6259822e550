"""The template that `sam build` made, against the one that is deployed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.release.errors import ReleaseError

ONCE = ("AllowContractChange", "DeploymentType", "MaxAnswerChange")


@dataclass(frozen=True)
class BuiltTemplate:
    """A built template, and the folder that its paths start from."""

    directory: Path
    body: Mapping[str, Any]

    @property
    def path(self) -> Path:
        """The template's file."""
        return self.directory / "template.yaml"

    @property
    def parameters(self) -> Mapping[str, Mapping[str, Any]]:
        """The declarations of the template's parameters."""
        declared: Mapping[str, Mapping[str, Any]] = self.body.get("Parameters", {})
        return declared

    def fill(self, given: Mapping[str, str], deployed: Mapping[str, str]) -> dict[str, str]:
        """Return the value that each parameter will have: set, as deployed, or by default."""
        defaults = {key: str(one.get("Default", "")) for key, one in self.parameters.items()}
        held = {key: value for key, value in deployed.items() if key in defaults}
        return {**defaults, **held, **given}


def read_built_template(directory: Path) -> BuiltTemplate:
    """Read what `sam build` left in its folder; raise ReleaseError if that is nothing."""
    from samcli.yamlhelper import yaml_parse

    path = directory / "template.yaml"
    try:
        return BuiltTemplate(directory, yaml_parse(path.read_text("utf-8")))
    except OSError as error:
        raise ReleaseError(f"{path} is missing: run `sam build`") from error


def publishes(template: BuiltTemplate, deployed: Mapping[str, Any]) -> bool | None:
    """Tell whether a deploy would publish a version of the stack's function.

    None if either template has no such function. It is decided as SAM decides with
    AutoPublishAliasAllProperties: by the properties of the function and of its layers, in which SAM
    CLI puts digests of the built folders.
    """
    from samcli.lib.utils.hash import dir_checksum

    before = _read_released(deployed, lambda uri: _name_object(uri).rpartition("/")[2])
    after = _read_released(template.body, lambda uri: dir_checksum(str(template.directory / uri)))
    return None if before is None or after is None else before != after


def complete(
    template: BuiltTemplate,
    given: Mapping[str, str],
    versions: Sequence[str],
    stack_version: str,
    *,
    publishes: bool | None,
) -> dict[str, str]:
    """Add the parameters that this very release needs to those that are set.

    A failed release leaves its version behind, an orphan. Lambda publishes nothing that equals the
    newest version, so the same files could never be released again: CloudFormation would fail with
    "A version for this Lambda function exists". ReleaseAttempt makes it differ, with a number that
    no attempt has had, and then stays: its absence would be a difference, too.
    """
    declared = template.parameters
    # Of a parameter that is not set SAM keeps the deployed value; these are for one release.
    once = {key: str(declared[key]["Default"]) for key in ONCE if key in declared}
    has_orphan = int(versions[-1]) > int(stack_version) if versions else False
    if has_orphan and publishes is not False and "ReleaseAttempt" in declared:
        once["ReleaseAttempt"] = str(int(versions[-1]) + 1)
    return once | dict(given)


def _read_released(
    template: Mapping[str, Any], digest: Callable[[Any], str]
) -> dict[str, Any] | None:
    """Return what decides whether a version is published; None if there is no such function."""
    resources = template.get("Resources", {})
    name = _find_function(template)
    if name not in resources or "AutoPublishAlias" not in resources[name].get("Properties", {}):
        return None
    layers = resources[name]["Properties"].get("Layers", [])
    own = [one["Ref"] for one in layers if isinstance(one, Mapping) and "Ref" in one]
    parts: dict[str, Any] = {"globals": template.get("Globals", {}).get("Function")}
    for part in [name, *(layer for layer in own if layer in resources)]:
        properties = dict(resources[part]["Properties"])
        for field in {"CodeUri", "ContentUri"} & properties.keys():
            properties[field] = digest(properties[field])
        parts[part] = properties
    return parts


def _find_function(template: Mapping[str, Any]) -> str:
    """Return the logical id of the function that the output FunctionName names; empty without one.

    A template may have several functions with an alias: that output says which one is released.
    """
    value = template.get("Outputs", {}).get("FunctionName", {}).get("Value")
    return str(value.get("Ref", "")) if isinstance(value, Mapping) else ""


def _name_object(uri: Any) -> str:
    """Return the S3 key of a packaged folder, however SAM CLI has written it down."""
    return str(uri.get("Key", "")) if isinstance(uri, Mapping) else str(uri)
