"""HTML from elements: all text is escaped, and pages run and load nothing."""

import base64
import hashlib
from collections.abc import Iterable
from html import escape

EMPTY = {"br", "circle", "meta", "path", "rect"}  # elements that can be without content


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


type Content = str | Iterable[Content]


def element(name: str, /, *content: Content, **attributes: object) -> Html:
    """Return an element. Its text and attributes are escaped, unless they are Html.

    In the names of attributes `_` becomes `-`, and is dropped at the end, as in `class_`.
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
    )
    if name in EMPTY and not content:
        return Html(f"<{name}{given}/>")
    return Html(f"<{name}{given}>{join(content)}</{name}>")


def join(content: Content) -> Html:
    """Return all content as HTML, one after the other."""
    if isinstance(content, Html):
        return content
    if isinstance(content, str):
        return Html(escape(content))
    return Html("".join(map(join, content)))


def write_page(title: str, style: str, *body: Content) -> str:
    """Return a self-contained page, whose Content-Security-Policy allows only its own style.

    `style` is our own CSS. Source: www.w3.org/TR/CSP3; the `meta` must come before the style.
    """
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    head = [
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", Html(style)),
    ]
    page = element("html", element("head", head), element("body", body), lang="en")
    return f"<!doctype html>\n{page}\n"
