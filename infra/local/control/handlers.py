"""Finds the handler of each resource, and refuses types that the local platform does not have."""

from collections.abc import Mapping

from infra.local.control.lambda_resources import check_policies
from infra.local.control.resource import Handler
from infra.local.errors import TemplateError
from infra.local.stack import BuiltStack


class Handlers:
    """Who creates, changes and deletes the resources of each type; all others are moto's."""

    def __init__(self, handlers: Mapping[str, Handler], others: Handler) -> None:
        self._handlers = dict(handlers)
        self._others = others

    def add(self, kind: str, handler: Handler) -> None:
        """Register the handler of a resource type."""
        self._handlers[kind] = handler

    def find(self, kind: str) -> Handler:
        """Return the handler of a type."""
        return self._handlers.get(kind, self._others)

    def check(self, stack: BuiltStack) -> None:
        """Raise TemplateError, naming them, if there are types that the platform does not have."""
        check_policies(stack)
        missing = {
            f"{self.find(resource['Type']).check(resource['Type'])} ({logical_id})"
            for logical_id, resource in stack.template["Resources"].items()
            if self.find(resource["Type"]).check(resource["Type"])
        }
        if missing:
            raise TemplateError("; ".join(sorted(missing)))
        for logical_id in stack.nested:
            parameters = stack.predict().resolve(
                stack.template["Resources"][logical_id]["Properties"].get("Parameters", {})
            )
            self.check(stack.nest(logical_id, parameters))
