"""Elements escape what is not HTML yet, and pages allow nothing but their own style."""

import ast
import base64
import hashlib
import re
from html import unescape
from pathlib import Path

import pytest

from infra.pages.dashboard.page import MARKUP
from infra.pages.html import Html, element, join, write_page

INFRA = Path(__file__).parents[4] / "infra"
HOSTILE = "\"'><script>alert(1)</script><!--&amp;"
ESCAPED = "&quot;&#x27;&gt;&lt;script&gt;alert(1)&lt;/script&gt;&lt;!--&amp;amp;"


@pytest.mark.parametrize("name", ["p", "path", "title"])
def test_text_and_attributes_are_escaped(name: str) -> None:
    written = element(name, HOSTILE, class_=HOSTILE, aria_label=7)
    assert written == f'<{name} class="{ESCAPED}" aria-label="7">{ESCAPED}</{name}>'


def test_html_is_escaped_once_and_what_is_made_of_it_again() -> None:
    inner = element("b", "<")
    assert element("p", inner, [">", [inner]]) == "<p><b>&lt;</b>&gt;<b>&lt;</b></p>"
    # text that was put together by other means than elements is text
    assert element("p", f"{inner}!") == "<p>&lt;b&gt;&amp;lt;&lt;/b&gt;!</p>"


def test_elements_without_content_are_closed_as_html_closes_them() -> None:
    assert join([element("br"), element("path", d="M0 4"), element("td")]) == (
        '<br/><path d="M0 4"/><td></td>'
    )


def test_a_page_allows_its_own_style_and_nothing_else() -> None:
    style = "p > b{color:red}"
    page = write_page(HOSTILE, style, element("p", HOSTILE))
    [policy] = re.findall(r'http-equiv="Content-Security-Policy" content="(.*?)"', page)
    allowed = dict(part.split(" ", 1) for part in unescape(policy).split("; "))
    [found] = re.findall(r"<style>(.*?)</style>", page)
    digest = base64.b64encode(hashlib.sha256(found.encode()).digest()).decode()
    assert found == style
    assert allowed == {
        "default-src": "'none'",
        "style-src": f"'sha256-{digest}'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    assert page.index("Content-Security-Policy") < page.index("<style>")
    assert "<script>" not in page


def test_nobody_else_writes_html() -> None:
    # GIVEN every text in the code of the operator's tools but docstrings; AWS's endpoint writes XML
    found = [
        (path.name, node.value)
        for path in INFRA.rglob("*.py")
        if path.relative_to(INFRA).as_posix()
        not in {"pages/html.py", "local/control/aws_endpoint.py"}
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.search(r"</\w|<[a-z]+[ >]", node.value)
    ]
    # THEN none is a piece of HTML, but for what stands for Markdown in text that was escaped
    known = {html for _, html in MARKUP}
    assert [(name, text) for name, text in found if text not in known] == []


def test_html_is_text() -> None:
    assert isinstance(element("b"), Html)
    assert isinstance(element("b"), str)
