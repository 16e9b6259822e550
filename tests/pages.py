"""The pages of this project: README.md, docs/ and the others that people read."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    str(path.relative_to(ROOT))
    for pattern in ("*.md", "docs/*.md", "layers/*/README.md")
    for path in ROOT.glob(pattern)
)


def read_page(name: str) -> str:
    """Return the text of a page, by its path below the root."""
    return (ROOT / name).read_text("utf-8")


def find_blocks(text: str, language: str) -> list[str]:
    """Return the fenced code blocks of a language, without their indentation."""
    blocks = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", text, re.DOTALL | re.MULTILINE)
    return [re.sub(f"^{indent}", "", block, flags=re.MULTILINE) for indent, block in blocks]


def read_table(text: str, head: str) -> list[list[str]]:
    """Return the cells of the rows below the one that begins with `head`."""
    _, found, rest = text.partition(f"\n| {head} |")
    assert found, f"there is no table that begins with {head!r}"
    rows: list[list[str]] = []
    for line in rest.splitlines()[2:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split(" | ")])
    return rows
