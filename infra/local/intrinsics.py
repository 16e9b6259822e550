"""What CloudFormation's intrinsic functions stand for.

Source: docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/, the page
intrinsic-function-reference.
"""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infra.local.errors import TemplateError

# Of each resource what Fn::GetAtt gives by the attribute's name; Ref is one of them.
type References = Mapping[str, Mapping[str, Any]]

CONDITIONS = {"Fn::And", "Fn::Equals", "Fn::If", "Fn::Not", "Fn::Or"}
VARIABLE = re.compile(r"\$\{(!?)\s*([^}\s]+)\s*\}")
NO_VALUE = object()  # Ref: AWS::NoValue takes the property away


@dataclass(frozen=True)
class Intrinsics:
    """Resolves the intrinsic functions of one template.

    `values` are those of parameters and pseudo parameters. A reference to what is in neither
    `values` nor `references` is an error, or if `lenient` stays as the text `${Name.Attribute}`.
    """

    template: Mapping[str, Any]
    values: Mapping[str, Any]
    references: References
    lenient: bool = False

    def resolve(self, node: Any) -> Any:  # noqa: PLR0911 one for each form of a node
        """Return `node` with values in the place of all functions; raise TemplateError."""
        match node:
            case {"Ref": str(name)} if len(node) == 1:
                return self._refer(name)
            case {"Fn::GetAtt": [str(name), attribute]} if len(node) == 1:
                return self._refer(name, str(self.resolve(attribute)))
            case {"Fn::GetAtt": str(text)} if len(node) == 1:
                return self._refer(*text.split(".", 1))
            case dict() if len(node) == 1 and next(iter(node)).startswith("Fn::"):
                [(function, argument)] = node.items()
                return self._call(function, argument)
            case dict():
                resolved = {key: self.resolve(value) for key, value in node.items()}
                return {key: value for key, value in resolved.items() if value is not NO_VALUE}
            case list():
                items = (self.resolve(item) for item in node)
                return [item for item in items if item is not NO_VALUE]
        return node

    def holds(self, part: Mapping[str, Any]) -> bool:
        """Return whether the condition of a resource or an output holds, if it has one."""
        return "Condition" not in part or self._test({"Condition": part["Condition"]})

    def _refer(self, name: str, attribute: str = "Ref") -> Any:
        if name == "AWS::NoValue":
            return NO_VALUE
        if attribute == "Ref" and name in self.values:
            return self.values[name]
        attributes = self.references.get(name, {})
        if attribute in attributes:
            return attributes[attribute]
        if self.lenient:
            return f"${{{name}}}" if attribute == "Ref" else f"${{{name}.{attribute}}}"
        what = name if attribute == "Ref" else f"{name}.{attribute}"
        raise TemplateError(f"the template refers to {what[:128]}, which is not there")

    def _call(self, function: str, argument: Any) -> Any:  # noqa: PLR0911 one for each function
        if function == "Fn::If":
            name, if_true, if_false = argument
            return self.resolve(if_true if self._test({"Condition": name}) else if_false)
        if function in CONDITIONS:
            return self._test({function: argument})
        if function == "Fn::Sub":
            return self._substitute(argument)
        argument = self.resolve(argument)
        match function, argument:
            case "Fn::Join", [str(delimiter), list(items)]:
                return delimiter.join(_to_text(item) for item in items)
            case "Fn::Split", [str(delimiter), str(text)]:
                return text.split(delimiter)
            case "Fn::Select", [index, list(items)]:
                return items[int(index)]
            case "Fn::FindInMap", [name, first, second, *_]:
                return self.resolve(self.template["Mappings"][name][_to_text(first)][second])
            case "Fn::Base64", str(text):
                return base64.b64encode(text.encode()).decode()
        raise TemplateError(f"the local run does not know {function} of {str(argument)[:64]!r}")

    def _substitute(self, argument: Any) -> str:
        text, variables = argument if isinstance(argument, list) else (argument, {})

        def replace(found: re.Match[str]) -> str:
            literal, name = found.groups()
            if literal:
                return f"${{{name}}}"
            if name in variables:
                return _to_text(self.resolve(variables[name]))
            return _to_text(self._refer(*name.split(".", 1)))

        return VARIABLE.sub(replace, text)

    def _test(self, node: Any) -> bool:
        """Evaluate a condition, by its name or as it stands."""
        match node:
            case {"Condition": str(name)}:
                return self._test(self.template["Conditions"][name])
            case {"Fn::And": list(parts)}:
                return all(self._test(part) for part in parts)
            case {"Fn::Or": list(parts)}:
                return any(self._test(part) for part in parts)
            case {"Fn::Not": [part]}:
                return not self._test(part)
            case {"Fn::Equals": [one, other]}:
                return _to_text(self.resolve(one)) == _to_text(self.resolve(other))
        raise TemplateError(f"the local run does not know the condition {str(node)[:64]!r}")


def _to_text(value: Any) -> str:
    """Write a value as CloudFormation does, to which all values are texts."""
    return str(value).lower() if isinstance(value, bool) else str(value)
