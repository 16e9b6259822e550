"""What the pages ask the local run, and the answers that they show."""

import json
import platform
import re
from typing import Any

import httpx
import numpy as np
import pytest

from tests.curl import send
from tests.local_run import LocalRun
from tests.pages import PAGES, find_blocks, read_page

SHOWN = [
    (page, curl, answer)
    for page in PAGES
    for curl, answer in re.findall(
        r"```sh\n(curl http://127\.0\.0\.1.*?)```\s*```json\n(.*?)\n```", read_page(page), re.DOTALL
    )
]


def is_the_same(answer: httpx.Response, shown: str) -> bool:
    """Compare byte by byte; on other processors a number's last digits may differ."""
    if platform.machine() == "x86_64":
        return answer.text == shown
    return round_numbers(answer.text) == round_numbers(shown)


def round_numbers(text: str) -> str:
    return re.sub(r"\d+\.\d+", lambda number: f"{float(number[0]):.6f}", text)


def test_curls_with_answers_are_found() -> None:
    assert [page for page, _, _ in SHOWN] == ["README.md", "docs/api.md"]


@pytest.mark.parametrize(("page", "curl", "shown"), SHOWN)
def test_every_curl_gets_the_answer_that_is_shown(
    page: str, curl: str, shown: str, local_run: LocalRun
) -> None:
    answer = send(curl, local_run.url)

    assert answer.status_code == 200, page
    assert is_the_same(answer, shown)


def test_the_client_in_python_works(local_run: LocalRun) -> None:
    # GIVEN the customer whom the page asks about
    page = read_page("docs/api.md")
    [code] = find_blocks(page, "python")
    [tensor] = json.loads(find_blocks(page, "json")[0])["inputs"]
    customers = np.array(tensor["data"], np.float32).reshape(tensor["shape"])
    names: dict[str, Any] = {"customers": customers}

    # WHEN its code runs, against this run's port
    host = local_run.url.removeprefix("http://")
    assert "127.0.0.1:8000" in code
    exec(code.replace("127.0.0.1:8000", host), names)  # noqa: S102 it is the page's code

    # THEN it gets what curl gets
    [shown] = [json.loads(answer) for page, _, answer in SHOWN if page == "README.md"]
    expected = shown["outputs"][1]["data"]
    assert names["answer"].as_numpy("probabilities")[0] == pytest.approx(expected, rel=1e-6)
