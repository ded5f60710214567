"""Every Python and TOML block of the docs works."""

import asyncio
import json
import subprocess
import sys
import threading
import tomllib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from venuekit.host.config import parse_config

MARKETS = [
    {"symbol": "BTC-USD", "tick": "0.1", "lot": "0.001"},
    {"symbol": "ETH-USD", "tick": "0.01", "lot": "0.01"},
]


def make_acme(read_blocks, root, folder):
    """The package that the page describes, file by file."""
    page = root / "docs" / "how-to" / "add-a-venue.md"
    (folder / "pyproject.toml").write_text(read_blocks(page, "toml")[0].text)
    for block in read_blocks(page, "python"):
        path = folder / block.text.splitlines()[0].removeprefix("# ")
        path.parent.mkdir(exist_ok=True)
        path.write_text(block.text)
    (folder / "venuekit_acme" / "__init__.py").touch()
    return folder


@pytest.fixture
def acme(read_blocks, root, tmp_path, add_plugins):
    folder = tmp_path / "acme"
    folder.mkdir()
    add_plugins(make_acme(read_blocks, root, folder))


@pytest.fixture
def market_list():
    """The venue of the page: one answer on loopback."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            body = json.dumps(MARKETS).encode()
            self.send_response(200 if self.path == "/markets" else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_venue_of_the_page_opens_and_loads(acme, market_list):
    from venuekit.host.open import OpenedVenue
    from venuekit.runtime.clock import RealClock

    text = f'[venues.acme]\nenvironment = "mainnet"\naddresses = {{ rest = "{market_list}" }}\n'
    opened = OpenedVenue(parse_config(text).venues["acme"], clock=RealClock())

    async def load():
        await opened.open()
        try:
            return await opened.parts.instruments.load(None)
        finally:
            await opened.close()

    loaded = asyncio.run(load())
    assert [str(one.id) for one in loaded] == ["BTC-USD.ACME", "ETH-USD.ACME"]
    assert [str(one.size_increment) for one in loaded] == ["0.001", "0.01"]


def test_python_blocks_of_a_page_run_in_their_order(page, read_blocks, root):
    found = [block.text for block in read_blocks(page, "python")]
    if not found or page.name in ("README.md", "add-a-venue.md"):
        return  # strategies of the README are files and run in their own test; the other is tried above
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(found)], cwd=root, capture_output=True, text=True, timeout=50
    )
    assert done.returncode == 0, done.stderr


def test_toml_blocks_are_valid(toml_block, acme, add_plugins):
    add_plugins("only_signer")
    tree = tomllib.loads(toml_block.text)
    if "venues" in tree:
        config = parse_config(toml_block.text)
        assert set(config.venues) == set(tree["venues"])
    else:
        assert "project" in tree
