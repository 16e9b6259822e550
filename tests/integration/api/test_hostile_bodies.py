"""Small bodies have small costs: none takes more memory than valid rows of the same form."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.example_model import FOLDER
from tests.hostile_bodies import MODEL
from tests.onnx_models import identity, package

ROOT = Path(__file__).parents[3]

LOADED_MB = 55  # what an environment has before any request, so that a ratio means something
MARGIN = 1.1

Answers = list[tuple[str, str, int, float]]


def answer_all(kind: str, size: int, model: Path) -> tuple[dict[str, float], Answers]:
    """Return the memory that the valid bodies take by form, and what the hostile ones get."""
    printed = subprocess.run(
        [sys.executable, ROOT / "tests" / "forked_requests.py", kind, str(size)],
        env={
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
            "MODEL_DIR": str(model),
            "OPENBLAS_NUM_THREADS": "1",
            "PATH": os.defpath,
            "PYTHONPATH": f"{ROOT / 'functions'}:{ROOT}",
        },
        stdout=subprocess.PIPE,
        check=True,
    ).stdout.splitlines()
    answers: Answers = [json.loads(line) for line in printed]
    valid = {form: took for form, name, status, took in answers if name == "valid"}
    assert {status for _, name, status, _ in answers if name == "valid"} == {200}
    return valid, [answer for answer in answers if answer[1] != "valid"]


def find_expensive(valid: dict[str, float], answers: Answers) -> list[Any]:
    return [
        (form, name, status, round(took))
        for form, name, status, took in answers
        if status not in {200, 400, 413} or (LOADED_MB + took) > MARGIN * (LOADED_MB + valid[form])
    ]


@pytest.mark.parametrize("size", [2_800_000, 25_000_000])
def test_no_hostile_body_takes_more_memory_than_valid_rows(size: int) -> None:
    # GIVEN bodies of a few kB that expand to nearly what the example's contract allows, or beyond
    valid, answers = answer_all("bodies", size, FOLDER)
    assert len(answers) > 100
    # THEN none is expensive, and none but spaces and lines that mean nothing is taken for valid
    assert find_expensive(valid, answers) == []
    ignored = {"spaces", "an index", "an index and an escape", "blank lines at the end"}
    assert {name for _, name, status, _ in answers if status == 200} <= ignored


def test_no_hostile_body_takes_more_memory_than_valid_strings(tmp_path: Path) -> None:
    # GIVEN a model of strings, whose contract says nothing of their length
    package(tmp_path, identity("BYTES", [None]), name=MODEL)
    valid, answers = answer_all("texts", 4_000_000, tmp_path)
    assert len(answers) > 40
    assert find_expensive(valid, answers) == []
