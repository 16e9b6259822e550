"""The access key of one local run: whoever has it may use AWS's APIs on this machine."""

import secrets
import string
from dataclasses import dataclass, field

PREFIX = "LOCALRUN"  # AWS's own begin with AKIA or ASIA, so that neither is taken for the other
LETTERS = string.ascii_uppercase + string.digits


@dataclass(frozen=True)
class AccessKey:
    """A key's id and its secret, which no request holds: it only signs them."""

    id: str
    secret: str = field(repr=False)


def create_access_key() -> AccessKey:
    """Make a key that nobody can guess."""
    letters = "".join(secrets.choice(LETTERS) for _ in range(12))
    return AccessKey(PREFIX + letters, secrets.token_urlsafe(30))
