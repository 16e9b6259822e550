"""What the page of a dashboard says, read back from its HTML."""

import re
from html import unescape

ROW = re.compile(r"<tr><th>(<svg.+?)</th>((?:<td>.*?</td>)+)</tr>")


def read_legends(page: str) -> dict[str, dict[str, list[str]]]:
    """Return the numbers of each line (last, highest and perhaps total) by title and label."""
    return {
        title: {
            _text(label): re.findall(r"<td>(.*?)</td>", cells)
            for label, cells in re.findall(
                r"<tr><th>(<svg.+?)</th>((?:<td>.*?</td>)+)</tr>", section
            )
        }
        for title, section in _read_sections(page)
    }


def read_tiles(page: str) -> list[tuple[str, str]]:
    """Return the alarms' states and names, in their order."""
    tiles = re.findall(r'<div class="tile .*?<div><b>(.*?)</b>(.*?)</div></div>', page, re.DOTALL)
    return [(_text(state), _text(name)) for state, name in tiles]


def _read_sections(page: str) -> list[tuple[str, str]]:
    sections = re.findall(r"<section .*?>(.*?)</section>", page, re.DOTALL)
    titles = [re.search(r"<h2>(.*?)(?: <small>.*)?</h2>", section) for section in sections]
    return [
        (_text(title[1]) if title else "", section)
        for title, section in zip(titles, sections, strict=True)
    ]


def _text(html: str) -> str:
    return unescape(re.sub(r"<.*?>", "", html)).strip()
