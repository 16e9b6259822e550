"""Methods of ours in the place of moto's, as long as the local run lasts."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any


@contextmanager
def patched(owner: type | ModuleType, **methods: Any) -> Iterator[None]:
    """Give a class these methods, or a module these names, and put back what it had."""
    before = {name: vars(owner)[name] for name in methods if name in vars(owner)}
    for name, method in methods.items():
        setattr(owner, name, method)
    try:
        yield
    finally:
        for name in methods:
            delattr(owner, name)
        for name, method in before.items():
            setattr(owner, name, method)
