"""curl commands as documents show them."""

import shlex

import httpx


def send(curl: str, url: str) -> httpx.Response:
    """Do what a curl command says, but to the API at `url`."""
    address, *options = shlex.split(curl)[1:]
    values = dict(zip(options[::2], options[1::2], strict=True))
    name, _, content_type = values["-H"].partition(": ")
    path = "/" + address.split("/", 3)[3]
    return httpx.post(
        url + path,
        content=values.get("-d") or values["--data-binary"],
        headers={name: content_type},
    )
