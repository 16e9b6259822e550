"""How asynchronous invocations of a function are treated: EventInvokeConfig.

moto keeps one for a function; here each version and alias has its own, as on Lambda. Source:
docs.aws.amazon.com/lambda/latest/api/API_PutFunctionEventInvokeConfig.html.
"""

import json
import time
from collections.abc import Mapping
from typing import Any, override
from urllib.parse import parse_qs, unquote

from moto.awslambda.exceptions import InvalidParameterValueException, LambdaClientError
from moto.awslambda.responses import LambdaResponse
from moto.core.common_types import TYPE_RESPONSE

from infra.local.control.resource import Change, Handler, Held, Wanted
from infra.local.errors import TemplateError
from infra.local.functions.asynchronous import EventConfig
from infra.local.functions.invoker import Target, read_target
from infra.local.functions.versions import LATEST

LIMITS = {"MaximumRetryAttempts": (0, 2), "MaximumEventAgeInSeconds": (60, 21_600)}
DESTINATIONS = {"sqs", "sns", "lambda", "events"}


class NoConfigError(LambdaClientError):
    """A function has no such configuration."""

    code = 404

    def __init__(self, arn: str) -> None:
        super().__init__(
            "ResourceNotFoundException", f"The function {arn} doesn't have an EventInvokeConfig"
        )


class EventConfigs:
    """The configurations of an account of one Region, by target."""

    def __init__(self, region: str) -> None:
        self._region = region
        self._held: dict[Target, dict[str, Any]] = {}

    def put(self, target: Target, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Set a configuration; raise InvalidParameterValueException as Lambda does."""
        for name, (least, most) in LIMITS.items():
            value = settings.get(name)
            if value is not None and not least <= int(value) <= most:
                raise InvalidParameterValueException(
                    f"{name} is {value}, expected {least} to {most}"
                )
        destinations = settings.get("DestinationConfig") or {}
        for arn in (one.get("Destination", "") for one in destinations.values()):
            if arn and arn.split(":")[2:3] not in [[one] for one in DESTINATIONS]:
                raise InvalidParameterValueException(f"{arn[:128]!r} is no destination")
        known = (*LIMITS, "DestinationConfig")
        held = {name: settings[name] for name in known if settings.get(name) is not None}
        qualified = Target(target.name, target.qualifier or LATEST)
        arn = {"FunctionArn": qualified.arn(self._region), "LastModified": time.time()}
        self._held[target] = held | arn
        return self._held[target]

    def find(self, target: Target) -> dict[str, Any]:
        """Return a configuration; raise NoConfigError if there is none."""
        if target not in self._held:
            raise NoConfigError(target.arn(self._region))
        return self._held[target]

    def delete(self, target: Target) -> None:
        """Take a configuration away; raise NoConfigError if there is none."""
        self.find(target)
        del self._held[target]

    def list(self, name: str) -> list[dict[str, Any]]:
        """Return the configurations of a function."""
        return [held for target, held in self._held.items() if target.name == name]

    def read(self, target: Target) -> EventConfig:
        """Return how the events of a target are treated."""
        held = self._held.get(target, {})
        destinations = held.get("DestinationConfig", {})
        plain = EventConfig()
        return EventConfig(
            int(held.get("MaximumRetryAttempts", plain.retries)),
            float(held.get("MaximumEventAgeInSeconds", plain.max_age_seconds)),
            destinations.get("OnSuccess", {}).get("Destination", ""),
            destinations.get("OnFailure", {}).get("Destination", ""),
        )

    def methods(self) -> Mapping[str, Any]:
        """Return what takes the place of the methods of moto's LambdaResponse."""

        def put(response: LambdaResponse) -> TYPE_RESPONSE:
            return _answer(self.put(_read_target(response), response.json_body))

        def update(response: LambdaResponse) -> TYPE_RESPONSE:
            target = _read_target(response)
            before = self._held.get(target, {})
            return _answer(self.put(target, before | response.json_body))

        def get(response: LambdaResponse) -> TYPE_RESPONSE:
            return _answer(self.find(_read_target(response)))

        def delete(response: LambdaResponse) -> TYPE_RESPONSE:
            self.delete(_read_target(response))
            return 204, {"status": 204}, ""

        def list_all(response: LambdaResponse) -> TYPE_RESPONSE:
            name = _read_target(response, -3).name
            return _answer({"FunctionEventInvokeConfigs": self.list(name)})

        return {
            "put_function_event_invoke_config": put,
            "update_function_event_invoke_config": update,
            "get_function_event_invoke_config": get,
            "delete_function_event_invoke_config": delete,
            "list_function_event_invoke_configs": list_all,
        }


def _read_target(response: LambdaResponse, place: int = -2) -> Target:
    """Return the target of a request: a function in its path, and perhaps a qualifier."""
    query = parse_qs(response.parsed_url.query)
    name = unquote(response.path.rstrip("/").split("/")[place])
    return read_target(name, query.get("Qualifier", [""])[0].replace(LATEST, ""))


def _answer(body: Mapping[str, Any]) -> TYPE_RESPONSE:
    return 200, {"content-type": "application/json"}, json.dumps(body)


class EventInvokeConfigs(Handler):
    """Configurations of a stack."""

    def __init__(self, configs: EventConfigs) -> None:
        self._configs = configs

    @override
    async def put(self, wanted: Wanted, held: Held | None, change: Change) -> Held:
        target = _read_wanted(wanted)
        try:
            self._configs.put(target, wanted.properties)
        except LambdaClientError as error:
            raise TemplateError(f"{wanted.logical_id}: {error.message}") from error
        return Held(wanted, wanted.name, {"Ref": wanted.name}, target)

    @override
    async def delete(self, held: Held) -> None:
        self._configs.delete(held.made)


def _read_wanted(wanted: Wanted) -> Target:
    qualifier = str(wanted.properties["Qualifier"]).replace(LATEST, "")
    return read_target(wanted.properties["FunctionName"], qualifier)
