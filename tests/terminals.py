"""What steers a terminal: what names may try, and what rich itself sends."""

import re

ESCAPE = "\x1b[2J\x9b31m\x7f\u202e\u2066"  # clears a terminal, colours it, turns text around
# Colours, and the moves of what shows progress.
RICH = re.compile(r"\r?\x1b\[(?:[0-9;]*m|\?25[lh]|1A|2K)")
