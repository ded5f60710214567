"""What must hold between the fields of every installed manifest."""

from __future__ import annotations

from collections import Counter

import pytest

from venuekit.host.plugins import installed
from venuekit.interfaces.hooks import Kind

VENUES = installed().keys(Kind.VENUE)


@pytest.fixture(params=VENUES)
def manifest(request):
    return installed().manifest(request.param)


def test_every_error_rule_belongs_to_a_port_or_to_bare_statuses(manifest):
    domains = {spec.errors or name for name, spec in manifest.ports.items()} | {"http"}
    assert {rule.domain for rule in manifest.errors} <= domains


def test_no_error_is_ruled_twice(manifest):
    twice = [key for key, n in Counter((one.domain, one.code) for one in manifest.errors).items() if n > 1]
    assert twice == []


def test_ports_buckets_and_streams_name_what_exists(manifest):
    addresses = set.intersection(*(set(one.addresses) for one in manifest.environments.values()))
    for spec in manifest.ports.values():
        assert spec.over in (manifest.streams if spec.kind.value == "stream" else addresses)
    for operation in manifest.operations.values():
        assert set(operation.costs) <= set(manifest.buckets)
        # A bucket that holds less than one request costs would never let it through.
        assert all(cost <= manifest.buckets[name].burst for name, cost in operation.costs.items())


def test_some_kind_of_a_live_book_has_a_bound_for_its_silence(manifest):
    """Bars and trades may rest; a book that is not watched is never found mute."""
    live = [one for kind, one in manifest.data.items() if kind.value.startswith("book_") and one.subscribe]
    assert not live or any(one.silent_ms for one in live)


def test_one_code_in_two_domains_means_two_things():
    rules = installed().manifest("paradex")
    assert "INVALID_TOKEN" in rules.rules_of("rest")
    assert "INVALID_TOKEN" not in rules.rules_of("rpc")
    assert "40111" in rules.rules_of("rpc")
    assert rules.status_rules()["503"].says.value == "transient"
