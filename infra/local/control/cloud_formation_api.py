"""CloudFormation's UpdateStack and GetTemplate for the stack of the local run.

It releases what was built last, and tells what was released.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

from moto.cloudformation.exceptions import ValidationError
from moto.cloudformation.responses import CloudFormationResponse
from moto.core.responses import ActionResult

from infra.local.control.cloud_formation import CloudFormation
from infra.local.control.patches import patched
from infra.local.errors import BuildError, LocalRunError
from infra.local.stack import BuiltStack

type Read = Callable[[str | None, Mapping[str, str]], BuiltStack]

_update_plain_stack = CloudFormationResponse.update_stack
_get_plain_template = CloudFormationResponse.get_template


def answer_update_stack(formation: CloudFormation, read: Read) -> AbstractContextManager[None]:
    """Let moto's server answer UpdateStack and GetTemplate, on the loop that runs now.

    `read` reads what was built, with a template in the place of the built one, or None, and values
    of parameters; those that have none get their defaults, as on AWS.
    """
    loop = asyncio.get_running_loop()

    def update_stack(response: CloudFormationResponse) -> ActionResult:
        get = response._get_param  # noqa: SLF001 moto's way to read a request
        held = response.cloudformation_backend.get_stack(get("StackName"))
        before = formation.stack
        if held.name != before.name:
            return _update_plain_stack(response)
        if held.status.endswith("_IN_PROGRESS"):
            text = f"Stack:{held.stack_id} is in {held.status} state and can not be updated."
            raise ValidationError(message=text)
        parameters = {}
        for one in get("Parameters", []):
            key = one["ParameterKey"]
            previous = before.parameters.get(key, "") if one.get("UsePreviousValue") else ""
            parameters[key] = one.get("ParameterValue", previous)
        try:
            stack = read(get("TemplateBody"), parameters)
            asyncio.run_coroutine_threadsafe(formation.update(stack), loop).result()
        except LocalRunError as error:
            raise ValidationError(message=str(error)) from error
        except OSError as error:
            raise ValidationError(message=str(BuildError(error))) from error
        return ActionResult({"StackId": held.stack_id})

    def get_template(response: CloudFormationResponse) -> ActionResult:
        get = response._get_param  # noqa: SLF001 moto's way to read a request
        held = response.cloudformation_backend.get_stack(get("StackName"))
        if held.name != formation.stack.name or get("TemplateStage") == "Processed":
            return _get_plain_template(response)
        return ActionResult({"TemplateBody": json.dumps(formation.tell_template())})

    return patched(CloudFormationResponse, update_stack=update_stack, get_template=get_template)
