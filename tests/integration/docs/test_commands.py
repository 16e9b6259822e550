"""Every command of the pages can be typed as it stands there."""

import json
import re
import shlex
from collections.abc import Callable, Iterator, Sequence

import botocore.session
import pytest
from botocore import xform_name
from samcli.yamlhelper import yaml_parse

from tests.commands import check_line, check_mention
from tests.pages import PAGES, ROOT, find_blocks, read_page

MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
VARIABLES = set(re.findall(r"^GIVEN := (.+)$", MAKEFILE, re.MULTILINE)[0].split())


def split_commands(block: str) -> Iterator[list[str]]:
    """Yield the words of each command; quotations may go on over lines."""
    pending = ""
    for line in block.replace("\\\n", " ").splitlines():
        pending += f"{line}\n"
        try:
            words = shlex.split(pending, comments=True)
        except ValueError:  # no closing quotation yet
            continue
        pending = ""
        while "&&" in words:
            place = words.index("&&")
            yield words[:place]
            words = words[place + 1 :]
        if words:
            yield words
    assert not pending


COMMANDS = [
    (page, words)
    for page in PAGES
    for block in find_blocks(read_page(page), "sh")
    for words in split_commands(block)
]
MENTIONS = sorted(
    {
        (page, " ".join(mention.split()))
        for page in PAGES
        for mention in re.findall(r"(?<!`)`((?:infra|make) [^`]+)`(?!`)", read_page(page))
    }
)
SIGNED, PLAIN = (
    [words for _, words in COMMANDS if words[0] == "curl" and words[1].startswith(address)]
    for address in ("$API_URL/", "http://127.0.0.1:8000/")
)


def check_make(words: Sequence[str]) -> None:
    for word in words[1:]:
        name, assigns, _ = word.partition("=")
        assert name in (VARIABLES if assigns else TARGETS), word


def check_aws(words: Sequence[str]) -> None:
    service, command, *options = words[1:]
    if (service, command) == ("cloudformation", "deploy"):  # the AWS CLI's own
        check_stack(options)
        return
    model = botocore.session.get_session().get_service_model(service)
    operations = {xform_name(name, "-"): name for name in model.operation_names}
    shape = model.operation_model(operations[command]).input_shape
    members = shape.members if shape else {}
    known = {f"--{xform_name(name, '-')}" for name in members} | {"--endpoint-url"}
    assert {option for option in options if option.startswith("--")} <= known


def check_stack(options: Sequence[str]) -> None:
    """Look whether a deploy gives a template what it asks for."""
    values = dict(option.split("=", 1) for option in options if "=" in option)
    template = ROOT / options[options.index("--template-file") + 1]
    parameters = yaml_parse(template.read_text("utf-8"))["Parameters"]
    assert values.keys() <= parameters.keys()
    assert {name for name, one in parameters.items() if "Default" not in one} <= values.keys()
    for name, value in values.items():
        if "AllowedPattern" in parameters[name] and not value.startswith("$"):
            assert re.fullmatch(parameters[name]["AllowedPattern"], value)


def check_program(words: Sequence[str]) -> None:
    assert (ROOT / ".venv/bin" / words[0].removeprefix(".venv/bin/")).exists()


def check_tests(words: Sequence[str]) -> None:
    for path in words[1:]:
        assert (ROOT / path).exists()


def accept(_: Sequence[str]) -> None:
    """Do nothing: other tests run these, or the shell itself has them."""


CHECKS: dict[str, Callable[[Sequence[str]], None]] = {
    "make": check_make,
    "infra": check_line,
    "aws": check_aws,
    "pytest": check_tests,
    "curl": accept,
    "export": accept,
    **dict.fromkeys(("ruff", "mypy", "lint-imports", "pre-commit"), check_program),
    **dict.fromkeys(("uv", "build/train/bin/python"), accept),  # `make train` is the same
}


def test_commands_are_found() -> None:
    assert len(COMMANDS) > 40
    assert len(MENTIONS) > 40


@pytest.mark.parametrize(("page", "words"), COMMANDS)
def test_every_command_can_be_typed(page: str, words: list[str]) -> None:
    while re.fullmatch(r"[A-Z_]+=.*", words[0]):  # variables for this command
        words = words[1:]
    program = words[0].removeprefix(".venv/bin/")

    assert program in CHECKS, page
    CHECKS[program](words)


@pytest.mark.parametrize(("page", "mention"), MENTIONS)
def test_every_command_that_is_mentioned_exists(page: str, mention: str) -> None:
    if mention.startswith("infra "):
        check_mention(mention)
    else:
        assert mention.split()[1] in TARGETS, page


def test_the_signed_request_is_the_plain_one() -> None:
    [signed], plain = SIGNED, PLAIN[0]

    assert signed[1].removeprefix("$API_URL") == plain[1].removeprefix("http://127.0.0.1:8000")
    sent, expected = (json.loads(words[words.index("-d") + 1]) for words in (signed, plain))
    assert sent == expected
