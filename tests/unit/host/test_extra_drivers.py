"""The drivers behind extras: chosen by name, and a typed error that names the extra where it is missing."""

from __future__ import annotations

import sys

import pytest

from venuekit.errors import PluginError
from venuekit.host.plugins import discover
from venuekit.interfaces.hooks import Kind
from venuekit.runtime.clock import RealClock

OPTIONAL = [
    ("http/aiohttp", "aiohttp", "venuekit.transport.aiohttp_http"),
    ("stream/picows", "picows", "venuekit.transport.picows_stream"),
]


@pytest.mark.parametrize(("key", "extra", "module"), OPTIONAL)
def test_without_its_library_a_driver_names_the_extra(monkeypatch, key, extra, module):
    monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, extra, None)
    registry = discover()
    assert registry.problems == ()
    with pytest.raises(PluginError) as caught:
        registry.load(Kind.TRANSPORT, key)
    assert repr(extra) in caught.value.message
    assert f"venuekit[{extra}]" in caught.value.hint


@pytest.mark.parametrize(("key", "extra", "module"), OPTIONAL)
def test_a_name_in_the_config_is_enough(key, extra, module):
    kind, _, name = key.partition("/")
    registry = discover()
    chosen = registry.pick(Kind.TRANSPORT, kind, name, None, "httpx" if kind == "http" else "websockets")
    factory = registry.load(Kind.TRANSPORT, chosen.key)
    if kind == "http":
        made = factory("http://127.0.0.1:1", clock=RealClock(), timeouts_ms={}, options={})
    else:
        made = factory(clock=RealClock(), options={})
    assert type(made).__module__ == module
