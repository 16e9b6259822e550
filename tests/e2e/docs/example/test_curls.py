"""Every request that README shows gets the answer that README shows."""

import re
from pathlib import Path

from tests.curl import send
from tests.local_run import LocalRun

ROOT = Path(__file__).parents[4]


def test_every_curl_of_the_readme_gets_the_answer_of_the_readme(local_run: LocalRun) -> None:
    readme = (ROOT / "README.md").read_text()
    shown = re.findall(
        r"```sh\n(curl http://127\.0\.0\.1.*?)```\s*```json\n(.*?)\n```", readme, re.DOTALL
    )

    for curl, expected in shown:
        answer = send(curl, local_run.url)

        assert answer.status_code == 200
        assert answer.text == expected
    assert len(shown) == 2
