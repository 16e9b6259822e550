"""curl commands as documents show them."""

import shlex
from pathlib import Path

import httpx


def send(curl: str, url: str, folder: Path = Path()) -> httpx.Response:
    """Do what a curl command says, but to the API at `url`; it was typed in `folder`."""
    address, *options = shlex.split(curl)[1:]
    values = dict(zip(options[::2], options[1::2], strict=True))
    name, _, content_type = values["-H"].partition(": ")
    path = "/" + address.split("/", 3)[3]
    body = values.get("-d") or values["--data-binary"]
    content = (folder / body[1:]).read_bytes() if body.startswith("@") else body.encode()
    return httpx.post(url + path, content=content, headers={name: content_type})
