"""The endpoint of AWS's APIs on this machine: moto's server behind a check of who calls.

moto's own server takes any credentials, lets any web page read its answers, and can be reset by
anybody. Here only a request that is signed by the run's access key reaches it.
"""

import contextlib
import io
import json
import re
import socket
import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any
from xml.sax.saxutils import escape

from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server
from werkzeug.wsgi import get_input_stream

from infra.local.callers import LOOPBACK, find_foreign
from infra.local.control.access_key import AccessKey
from infra.local.control.signature import (
    Request,
    SignatureError,
    check_claim,
    check_signature,
    read_claim,
)

OWN_API = "/moto-api"  # resets and configures moto; no AWS has it
# A request to a service that answers in XML without a form, or to none.
XML_SCOPE = re.compile(r"/(cloudfront|route53|s3)/aws4_request|^$")

type Environ = dict[str, Any]
type StartResponse = Callable[..., Any]


class AwsEndpoint:
    """Serves AWS's APIs on a port of 127.0.0.1 (0: any free one) for whoever has `key`.

    Raises OSError if the port is taken.
    """

    def __init__(self, port: int, key: AccessKey) -> None:
        with socket.create_server((LOOPBACK, port)) as listener:
            self._address = LOOPBACK, int(listener.getsockname()[1])
            self._server = make_server(
                *self._address,
                self._answer,
                threaded=True,
                request_handler=MotoRequestHandler,
                fd=listener.fileno(),
            )
        self._key = key
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Endpoint URL for boto3 and the AWS CLI."""
        return "http://{}:{}".format(*self._address)

    def stop(self) -> None:
        """Stop serving."""
        stopping = threading.Thread(target=self._server.shutdown)
        stopping.start()
        # A connection wakes the server, which otherwise looks only twice a second.
        with contextlib.suppress(ConnectionError):  # it may just have looked
            socket.create_connection(self._address).close()
        stopping.join()
        self._thread.join()
        self._server.server_close()

    def _answer(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        try:
            self._check(environ)
        except SignatureError as error:
            headers, answer = _write(error, environ)
            start_response("403 Forbidden", [*headers, ("Content-Length", str(len(answer)))])
            return [answer]

        # moto lets any page read its answers, and so do the rules of a bucket.
        def start_without_cors(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            kept = [one for one in headers if not one[0].lower().startswith("access-control-")]
            return start_response(status, kept, *rest)

        return self._moto(environ, start_without_cors)  # type: ignore[no-any-return]  # moto has no types

    def _check(self, environ: Environ) -> None:
        """Raise SignatureError unless this run's user sends a request; its body is read once."""
        foreign = find_foreign(
            self._address,
            host=environ.get("HTTP_HOST", ""),
            origin=environ.get("HTTP_ORIGIN", ""),
            site=environ.get("HTTP_SEC_FETCH_SITE", ""),
        )
        if foreign:
            raise SignatureError("AccessDenied", foreign)
        request = _read(environ)
        claim = read_claim(request)
        check_claim(claim, self._key, datetime.now(UTC))
        body = get_input_stream(environ).read()
        check_signature(request, claim, self._key, body)
        if environ["PATH_INFO"].startswith(OWN_API):
            raise SignatureError("AccessDenied", f"AWS has no API at {OWN_API}")
        environ["wsgi.input"] = io.BytesIO(body)


def _read(environ: Environ) -> Request:
    path, _, query = environ["REQUEST_URI"].partition("?")

    def header(name: str) -> str:
        key = name.upper().replace("-", "_")
        own = key in {"CONTENT_LENGTH", "CONTENT_TYPE"}  # WSGI's names for these two
        return str(environ.get(key if own else f"HTTP_{key}", ""))

    return Request(environ["REQUEST_METHOD"], path, query, header)


def _write(error: SignatureError, environ: Environ) -> tuple[list[tuple[str, str]], bytes]:
    """Return headers and body of an error in the form of the protocol that the client speaks.

    Source: smithy.io/2.0/aws/protocols/.
    """
    if environ.get("HTTP_SMITHY_PROTOCOL") == "rpc-v2-cbor":
        pairs = {"__type": error.code, "message": error.text}
        body = b"\xa2" + b"".join(_to_cbor(text) for pair in pairs.items() for text in pair)
        headers = [("Content-Type", "application/cbor"), ("Smithy-Protocol", "rpc-v2-cbor")]
        return headers, body
    is_form = environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded")
    is_xml = XML_SCOPE.search(environ.get("HTTP_AUTHORIZATION", ""))
    if is_form or (is_xml and "HTTP_X_AMZ_TARGET" not in environ):
        fault = f"<Code>{error.code}</Code><Message>{escape(error.text)}</Message>"
        error_xml = f"<Error><Type>Sender</Type>{fault}</Error>"
        xml = f"<ErrorResponse>{error_xml}</ErrorResponse>" if is_form else error_xml
        return [("Content-Type", "text/xml")], xml.encode()
    answer = {"__type": error.code, "message": error.text}
    headers = [("Content-Type", "application/json"), ("x-amzn-ErrorType", error.code)]
    return headers, json.dumps(answer).encode()


def _to_cbor(text: str) -> bytes:
    """Encode a text of less than 64 KiB (RFC 8949, 3.1)."""
    encoded = text.encode()
    return b"\x79" + len(encoded).to_bytes(2) + encoded
