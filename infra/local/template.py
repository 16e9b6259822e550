"""A SAM template, with its parameters, as the CloudFormation template that SAM makes of it."""

import logging
import re
import sys
from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import yaml
from samtranslator.model.exceptions import InvalidDocumentException
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

from infra.local.errors import TemplateError

type Template = dict[str, Any]

_UNKNOWN = re.compile(r"\$\{[\w.]+\}")  # a value that a resource has only once it exists


def read_template(path: Path) -> Template:
    """Read a template that `sam build` made; raise TemplateError."""
    try:
        text = path.read_text()
    except OSError:
        raise TemplateError(f"{path} is missing: run `sam build` first") from None
    return parse_template(text, path)


def parse_template(text: str, path: Path) -> Template:
    """Parse a template in the place of the one at `path`; raise TemplateError."""
    try:
        template = yaml_parse(text)
        if isinstance(template["Resources"], dict):
            return cast("Template", template)
    except (yaml.YAMLError, RecursionError) as error:
        raise TemplateError(f"{path} is not YAML: {error}") from error
    except (KeyError, TypeError):
        pass
    raise TemplateError(f"{path} is no template: it has no Resources")


def give_values(
    declared: Mapping[str, Mapping[str, Any]], given: Mapping[str, str]
) -> dict[str, Any]:
    """Return the value of every parameter; raise TemplateError where CloudFormation refuses one."""
    if unknown := given.keys() - declared.keys():
        raise TemplateError(f"Parameters: [{', '.join(unknown)}] do not exist in the template")
    values = {}
    for name, parameter in declared.items():
        value = given.get(name, parameter.get("Default"))
        if value is None:
            raise TemplateError(f"Parameters: [{name}] must have values")
        allowed = [str(one) for one in parameter.get("AllowedValues", [])]
        if allowed and str(value) not in allowed:
            raise TemplateError(f"parameter {name} is {value}, allowed: {', '.join(allowed)}")
        try:
            values[name] = _read_value(parameter["Type"], value)
            if fault := _find_fault(parameter, values[name]):
                reason = parameter.get("ConstraintDescription")
                text = f"failed to satisfy constraint: {reason}" if reason else fault
                raise TemplateError(f"Parameter '{name}' {text}")
        except re.error as error:
            text = f"AllowedPattern of parameter {name} is no pattern: {error}"
            raise TemplateError(text) from None
        except yaml.YAMLError:
            raise TemplateError(f"parameter {name} is {value}, not a number") from None
    return values


def _find_fault(parameter: Mapping[str, Any], value: Any) -> str:
    """Return in CloudFormation's words how a value breaks its limits, or an empty string.

    Source: docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/
    parameters-section-structure.html.
    """
    if _UNKNOWN.search(str(value)):
        return ""
    if parameter["Type"] == "Number":
        return _find_fault_of_number(parameter, value)
    for item in map(str, value if isinstance(value, list) else [value]):
        if len(item) < (least := int(parameter.get("MinLength", 0))):
            return f"must contain at least {least} characters"
        if len(item) > (most := int(parameter.get("MaxLength", sys.maxsize))):
            return f"must contain at most {most} characters"
        pattern = parameter.get("AllowedPattern")
        if pattern is not None and not re.fullmatch(pattern, item):
            return f"must match pattern {pattern}"
    return ""


def _find_fault_of_number(parameter: Mapping[str, Any], value: Any) -> str:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return "must be a number"
    least, most = parameter.get("MinValue"), parameter.get("MaxValue")
    if least is not None and number < float(least):
        return f"must be a number not less than {least}"
    if most is not None and number > float(most):
        return f"must be a number not greater than {most}"
    return ""


def _read_value(kind: str, value: Any) -> Any:
    if kind == "Number":
        return yaml.safe_load(str(value))
    if kind == "CommaDelimitedList" or kind.startswith("List<"):
        return [item.strip() for item in str(value).split(",")]
    return value


def list_paths(template: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], str, str]]:
    """Yield every path of a SAM template to code: its place, that is properties and key, and it."""
    for resource in template["Resources"].values():
        properties = resource.get("Properties", {})
        for key in ("CodeUri", "ContentUri"):
            if properties.get(key) is not None:
                yield properties, key, str(properties[key])


def list_variables(template: Mapping[str, Any]) -> set[str]:
    """Return the names of the environment variables that a SAM template gives to functions."""
    properties = [resource.get("Properties", {}) for resource in template["Resources"].values()]
    properties.append(template.get("Globals", {}).get("Function", {}))
    given = (one.get("Environment", {}).get("Variables", {}) for one in properties)
    return {str(name) for variables in given for name in variables}


def translate(source: Mapping[str, Any], region: str, values: Mapping[str, Any]) -> Template:
    """Turn a SAM template into CloudFormation's, where a local path is the key of an S3 object.

    The translator takes no local path for code (SAM CLI replaces them in the same way), reads of
    the session only its Region, and asks for managed policies only to turn names into ARNs.
    Raises TemplateError.
    """
    template = deepcopy(dict(source))
    if "Transform" not in template:
        return template
    logging.getLogger("samtranslator").setLevel(logging.ERROR)
    for properties, key, path in list(list_paths(template)):
        properties[key] = {"Bucket": "local", "Key": path}
    session = cast("Any", SimpleNamespace(region_name=region))
    translator = Translator({}, Parser(), boto_session=session)
    try:
        translated = translator.translate(template, dict(values), get_managed_policy_map=dict)
    except InvalidDocumentException as error:
        raise TemplateError("; ".join(cause.message for cause in error.causes)) from error
    return cast("Template", translated)
