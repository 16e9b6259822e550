"""CloudFormation's UpdateStack and DeleteStack for the stacks of the local platform.

UpdateStack releases what was built last. There is no CreateStack yet and there are no change sets:
moto would answer as if it had made resources that nobody runs.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from moto.cloudformation.exceptions import ValidationError
from moto.cloudformation.responses import CloudFormationResponse
from moto.core.responses import ActionResult, EmptyResult

from infra.local.control.cloud_formation import CloudFormation
from infra.local.errors import BuildError, LocalRunError, TemplateError
from infra.local.stack import BuiltStack

# Reads what was built, with a template in the place of the built one, or None, and values of
# parameters; those that have none get their defaults, as on AWS.
type Read = Callable[[str | None, Mapping[str, str]], BuiltStack]

NO_STACKS = (
    "the local run creates only the stacks with which it starts: add the resources to the built "
    "template, or a stack nested in it, and start the local run again"
)
NO_CHANGE_SETS = (
    "the local run has no change sets: build, and change a stack by UpdateStack, as `infra deploy` "
    "does; a new stack needs another start of the local run, with a template that holds it"
)

_update_plain_stack = CloudFormationResponse.update_stack
_delete_plain_stack = CloudFormationResponse.delete_stack


def answer_cloud_formation(
    formation: CloudFormation, readers: Mapping[str, Read]
) -> Mapping[str, Callable[..., Any]]:
    """Return what answers the calls that change stacks, on the loop that runs now.

    `readers` are by the names of their stacks.
    """
    loop = asyncio.get_running_loop()

    def update_stack(response: CloudFormationResponse) -> ActionResult:
        get = response._get_param  # noqa: SLF001 moto's way to read a request
        held = response.cloudformation_backend.get_stack(get("StackName"))
        if held.name not in formation:
            return _update_plain_stack(response)
        before = formation.find(held.name).stack
        _require_idle(held, "updated")
        parameters = {}
        for one in get("Parameters", []):
            key = one["ParameterKey"]
            previous = before.parameters.get(key, "") if one.get("UsePreviousValue") else ""
            parameters[key] = one.get("ParameterValue", previous)
        try:
            if held.name not in readers:
                raise TemplateError("this local run was started without a build of the stack")
            stack = readers[held.name](get("TemplateBody"), parameters)
            asyncio.run_coroutine_threadsafe(formation.update(stack), loop).result()
        except LocalRunError as error:
            raise ValidationError(message=str(error)) from error
        except OSError as error:
            raise ValidationError(message=str(BuildError(error))) from error
        return ActionResult({"StackId": held.stack_id})

    def delete_stack(response: CloudFormationResponse) -> ActionResult:
        name = response._get_param("StackName")  # noqa: SLF001 moto's way to read a request
        held = [
            one
            for one in response.cloudformation_backend.stacks.values()
            if name in {one.name, one.stack_id}
        ]
        if not held or held[0].name not in formation:
            return _delete_plain_stack(response)
        _require_idle(held[0], "deleted")
        try:
            deleting = formation.delete(held[0].name)
            asyncio.run_coroutine_threadsafe(deleting, loop).result()
        except LocalRunError as error:
            raise ValidationError(message=str(error)) from error
        return EmptyResult()

    return {
        "create_stack": _refuse(NO_STACKS),
        "create_change_set": _refuse(NO_CHANGE_SETS),
        "update_stack": update_stack,
        "delete_stack": delete_stack,
    }


def _refuse(text: str) -> Callable[[CloudFormationResponse], ActionResult]:
    def refuse(_: CloudFormationResponse) -> ActionResult:
        raise ValidationError(message=text)

    return refuse


def _require_idle(held: Any, verb: str) -> None:
    if held.status.endswith("_IN_PROGRESS"):
        text = f"Stack:{held.stack_id} is in {held.status} state and can not be {verb}."
        raise ValidationError(message=text)
