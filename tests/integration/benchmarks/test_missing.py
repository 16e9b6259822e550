"""`make bench` where something that it needs is not there."""

from pathlib import Path

import pytest

from tests.benchmarks.peers import Peer, PeerError, install
from tests.benchmarks.subjects import LayerError, install_typical


def test_says_how_to_get_the_wheels(tmp_path: Path) -> None:
    with pytest.raises(LayerError, match=r"/\.ready` downloads them"):
        install_typical(tmp_path / "nothing", tmp_path)


def test_peer_that_cannot_be_installed_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")  # no uv
    with pytest.raises(PeerError, match="not installed"):
        install(Peer("no-such-server", "1.0", ("serve",), lambda *_: {}))
