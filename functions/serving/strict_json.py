"""JSON from a stranger: decoded as a type, with errors that name the place and nothing else."""

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec

from serving.errors import RequestError

JsonText = bytes | msgspec.Raw

_NO_NUMBER = re.compile(rb"-?(NaN|Infinity)")
_ESCAPED_ASCII = re.compile(rb"\\(u00[2-7]|/)")  # what no encoder need escape, to hide a key
_ESCAPED = re.compile(rb"\\[u/]")  # where keys are more than ASCII
_REREAD = 2**20  # bytes: what may be read a second time
_BYTE = re.compile(r"byte (\d+)")


def decode(data: JsonText, form: Any, place: str) -> Any:
    """Decode `data` as the type `form`.

    Raises RequestError, which tells where in `place` it is something else: `data[1]: Expected ...`.
    """
    try:
        return _decoder(form).decode(data)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$")
        # The name of an unknown field is the caller's, of any length.
        raise RequestError(f"{place}{where.removesuffix('`')}: {what:.150}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RequestError(f"{place}: {_explain(error, data)}") from error
    except RecursionError as error:
        raise RequestError(f"{place}: nested too deeply") from error


def refuse_repeated_keys(data: JsonText, most: Mapping[str, int], place: str) -> None:
    """Raise RequestError if an object has a key twice: parsers differ in which one they take.

    `most` tells how often each known key can be there. That is cheap to count, and only a text
    with more, or with escapes that may hide one, is read again; a value that looks like a key
    counts too. A large text is refused instead if it is keys, not values, that are too many: what
    reads it again takes longer than what read it first.
    """
    text = bytes(data)
    repeated = RequestError(f"{place}: Expected each key once in an object")
    keys = {msgspec.json.encode(key): count for key, count in most.items()}
    exceeded = [key for key, count in keys.items() if text.count(key) > count]
    escapes = _ESCAPED_ASCII if all(map(str.isascii, most)) else _ESCAPED
    is_escaped = escapes.search(text) is not None
    if not (exceeded or is_escaped):
        return
    if len(text) > _REREAD:
        if any(len(re.findall(re.escape(key) + rb"\s*:", text)) > keys[key] for key in exceeded):
            raise repeated
        if not is_escaped:
            return

    def check(pairs: list[tuple[str, Any]]) -> None:
        if len(dict(pairs)) < len(pairs):
            raise repeated

    try:
        json.loads(text, object_pairs_hook=check, parse_int=len, parse_float=len)
    except (ValueError, RecursionError) as error:  # in what msgspec had no need to look into
        raise RequestError(f"{place}: Expected JSON of ordinary depth") from error


def _explain(error: Exception, data: JsonText) -> str:
    """Name the commonest reason, of which the parser says no more than the place."""
    place = _BYTE.search(str(error))
    if place and _NO_NUMBER.match(data, int(place[1])):
        return f"NaN and Infinity are not JSON numbers ({place[0]})"
    return str(error)


@lru_cache(maxsize=64)
def _decoder(form: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(form)
