"""HTTP APIs of a stack, each on a port of its own."""

import socket
from collections.abc import Callable, Mapping
from typing import override

from infra.local.control.resource import Change, Handler, Held, Wanted
from infra.local.errors import TemplateError
from infra.local.identifiers import API_ID
from infra.local.stack import name_api_attributes
from infra.local.triggers.http_api import HttpApi
from infra.local.triggers.route import read_routes, read_stage

type MakeApi = Callable[[str, socket.socket], HttpApi]


class HttpApis(Handler):
    """Makes APIs by `make`; the first has the `listener` that was given, others any free port."""

    def __init__(self, region: str, listener: socket.socket | None, make: MakeApi) -> None:
        self.running: dict[str, HttpApi] = {}
        self._region = region
        self._listener = listener
        self._make = make
        self._made = 0

    def addresses(self) -> Mapping[str, str]:
        """Return where each API answers, by the URL that it would have on AWS without its stage."""
        return {
            name_api_attributes(api_id, self._region)["ApiEndpoint"]: api.url
            for api_id, api in self.running.items()
        }

    @override
    async def put(self, wanted: Wanted, held: Held | None, change: Change) -> Held:
        routes = read_routes(wanted.properties)
        if held:
            api: HttpApi = held.made
        else:
            listener = self._listener or socket.create_server(("127.0.0.1", 0))
            self._listener = None
            self._made += 1
            api_id = API_ID if self._made == 1 else f"{API_ID}{self._made}"
            api = self._make(api_id, listener)
            self.running[api_id] = api
            await api.start()
        api.route(routes)
        attributes = {"Ref": api.api_id, **name_api_attributes(api.api_id, self._region)}
        return Held(wanted, api.api_id, attributes, api)

    @override
    async def delete(self, held: Held) -> None:
        if api := self.running.pop(held.physical_id, None):
            await api.stop()

    async def stop(self) -> None:
        """Stop every API."""
        while self.running:
            _, api = self.running.popitem()
            await api.stop()
        if self._listener:
            self._listener.close()


class Stages(Handler):
    """Stages; each API has one."""

    def __init__(self, apis: HttpApis) -> None:
        self._apis = apis

    @override
    async def put(self, wanted: Wanted, held: Held | None, change: Change) -> Held:
        stage = read_stage(wanted.properties)
        api = self._apis.running[wanted.properties["ApiId"]]
        if held is None and api.is_deployed:
            raise TemplateError(
                f"the local platform gives each HTTP API one stage, see {stage.name}"
            )
        api.deploy(stage)
        return Held(wanted, stage.name, {"Ref": stage.name})

    @override
    async def delete(self, held: Held) -> None:
        """Leave the stage to its API, which goes as well."""
