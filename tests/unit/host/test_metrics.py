"""Metrics as a scraper reads them: parsed by the library of the format's own project."""

from __future__ import annotations

import json

import pytest
from prometheus_client.parser import text_string_to_metric_families

from venuekit.host.health import NodeHealth, VenueHealth
from venuekit.host.metrics import exposition, metric_name
from venuekit.runtime.counter_names import COUNTERS, family_of

TOY = VenueHealth(
    "mainnet", {"public.0": "live", "private": "backing_off"}, False, 2, 7, "measured", -45_000.25, 2.5
)
VIEW = VenueHealth("mainnet", {"public.0": "live"})
HEALTH = NodeHealth("n", "1", 90, {"toy": TOY, "view": VIEW})


def read(counters, health=HEALTH):
    """{(sample name, sorted labels): value}, and the families by name."""
    families = list(text_string_to_metric_families(exposition(counters, health).decode()))
    samples = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }
    assert sum(len(family.samples) for family in families) == len(samples)
    return samples, {family.name: family for family in families}


def test_counters_of_every_venue_with_what_is_open_in_their_names_as_labels():
    samples, families = read(
        {
            "toy": {"frames.in": 3, "replies.submit.received": 5, "session.ended.stale": 1},
            "view": {"frames.in": 9_007_199_254_740_993, "quarantined.bad.kind": 2},
        }
    )
    assert samples["venuekit_frames_in_total", ("venue", "toy")] == 3
    assert samples["venuekit_frames_in_total", ("venue", "view")] == 9_007_199_254_740_992  # a float's limit
    assert (
        samples["venuekit_replies_total", ("command", "submit"), ("outcome", "received"), ("venue", "toy")]
        == 5
    )
    assert samples["venuekit_session_ended_total", ("how", "stale"), ("venue", "toy")] == 1
    assert samples["venuekit_quarantined_total", ("kind", "bad.kind"), ("venue", "view")] == 2
    assert families["venuekit_frames_in"].type == "counter"
    assert families["venuekit_frames_in"].documentation == COUNTERS["frames.in"]


def test_health_as_gauges():
    samples, _ = read({})
    assert samples == {
        ("venuekit_uptime_seconds",): 90,
        ("venuekit_stream_live", ("stream", "public.0"), ("venue", "toy")): 1,
        ("venuekit_stream_live", ("stream", "private"), ("venue", "toy")): 0,
        ("venuekit_stream_live", ("stream", "public.0"), ("venue", "view")): 1,
        ("venuekit_orders_ready", ("venue", "toy")): 0,
        ("venuekit_orders_unresolved", ("venue", "toy")): 2,
        ("venuekit_pacing_waiting", ("venue", "toy")): 7,
        ("venuekit_clock_offset_seconds", ("venue", "toy")): -45.00025,
        ("venuekit_clock_error_seconds", ("venue", "toy")): 0.0025,
        ("venuekit_pacing_waiting", ("venue", "view")): 0,
    }


def test_names_that_a_plugin_made_up_are_shown_and_never_break_the_page():
    samples, _ = read(
        {"toy": {"own.thing": 1, "own-thing": 2, 'odd"na\nme{}': 3, "frames_in": 4, "frames.in": 5}}
    )
    assert samples["venuekit_own_thing_total", ("venue", "toy")] == 3
    assert samples["venuekit_odd_na_me___total", ("venue", "toy")] == 3
    assert samples["venuekit_frames_in_total", ("venue", "toy")] == 9


def test_a_label_value_cannot_forge_a_line():
    samples, _ = read({"toy": {'quarantined.x"} 1\nvenuekit_fake_total{a="b': 1}})
    assert not any(name.startswith("venuekit_fake") for name, *_ in samples)


def test_every_counter_of_the_catalogue_is_a_metric_of_its_own():
    names = [metric_name(family_of(name)) for name in COUNTERS]
    assert len(set(names)) == len(names)
    gauges = {key[0] for key in read({})[0]}
    assert not gauges & set(names)


@pytest.mark.parametrize(
    ("counter", "family", "labels"),
    [
        ("frames.in", "frames.in", ()),
        ("alarms.overfill", "alarms.<kind>", (("kind", "overfill"),)),
        (
            "sends_failed.cancel.not_sent",
            "sends_failed.<command>.<evidence>",
            (("command", "cancel"), ("evidence", "not_sent")),
        ),
        ("session.ended.lost", "session.ended.<how>", (("how", "lost"),)),
        ("session.unheard_of", "session.unheard_of", ()),
        ("replies.submit", "replies.submit", ()),
    ],
)
def test_a_counter_belongs_to_one_row(counter, family, labels):
    found = family_of(counter)
    assert (found.name, found.labels) == (family, labels)
    assert bool(found.meaning) is (family in COUNTERS)


def test_health_says_what_does_not_work():
    told = json.loads(HEALTH.as_json())
    assert told["status"] == "degraded"
    assert told["venues"]["view"]["status"] == "ok"
    assert told["venues"]["toy"] == {
        "status": "degraded",
        "environment": "mainnet",
        "streams": {"public.0": "live", "private": "backing_off"},
        "orders": False,
        "unresolved": 2,
        "waiting": 7,
        "clock": "measured",
        "clock_offset_ms": -45000.25,
        "clock_error_ms": 2.5,
    }


@pytest.mark.parametrize(
    ("venue", "ok"),
    [
        (VenueHealth("e", {}), True),
        (VenueHealth("e", {"public.0": "live"}, True), True),
        # Live streams do not help while the private state is unknown; unresolved orders alone are no defect.
        (VenueHealth("e", {"public.0": "live"}, False), False),
        (VenueHealth("e", {"public.0": "connecting"}, True), False),
        (VenueHealth("e", {"public.0": "live"}, True, unresolved=3), True),
        # Signed with this machine's time, while the venue says that it is hours off.
        (VenueHealth("e", {"public.0": "live"}, True, clock="wild"), False),
    ],
)
def test_when_a_venue_is_well(venue, ok):
    assert venue.ok is ok
    assert NodeHealth("n", "1", 0, {"x": venue}).ok is ok
