"""`venuekit venues VENUE`: what one venue can do, read off its manifest."""

from __future__ import annotations

from venuekit.cli.output import emit, say, table, wants_json
from venuekit.host.error_text import PROVES, to_do
from venuekit.interfaces.manifest import Manifest


def show(key: str, manifest: Manifest) -> None:
    """Print everything a user asks about before configuring a venue."""
    if wants_json():
        emit({"event": "venue", "key": key, **facts(manifest)})
        return
    say(f"{manifest.title} ({key}), as {manifest.venue} in Nautilus")
    for name, environment in sorted(manifest.environments.items()):
        money = "real money" if environment.real_money else "no real money"
        addresses = ", ".join(f"{use} {address}" for use, address in sorted(environment.addresses.items()))
        say(f"  {name:10} {money:14} {addresses}")
    say(f"  data       {', '.join(_data(manifest)) or 'none'}")
    for line in _orders(manifest):
        say(f"  orders     {line}")
    if manifest.trades:
        say(f"  time       {_time(manifest)}")
    if manifest.errors:
        say("  errors     shown by --errors: each code, what it proves and what to do")


def show_errors(key: str, manifest: Manifest) -> None:
    """Print the venue's error table."""
    if wants_json():
        for rule in manifest.errors:
            row = {"domain": rule.domain, "code": rule.code, "proves": rule.says.value, "advice": to_do(rule)}
            emit({"event": "error_code", "venue": key, **row})
        return
    table(
        ("DOMAIN", "CODE", "PROVES", "WHAT TO DO"),
        [(rule.domain, rule.code, PROVES[rule.says], to_do(rule)) for rule in manifest.errors],
    )


def facts(manifest: Manifest) -> dict[str, object]:
    """The same as JSON-able data."""
    return {
        "venue": manifest.venue,
        "title": manifest.title,
        "environments": {
            name: {"addresses": dict(one.addresses), "real_money": one.real_money}
            for name, one in manifest.environments.items()
        },
        "products": sorted(manifest.products),
        "data": _data(manifest),
        "orders": _orders(manifest),
        "trades": manifest.trades,
        "time": _time(manifest),
    }


def _time(manifest: Manifest) -> str:
    rule = manifest.time
    if rule is None:
        return "this machine's: the venue tells none"
    return f"the venue's, asked every {rule.every_ms // 1000} s"


def _data(manifest: Manifest) -> list[str]:
    names = []
    for kind, feature in manifest.data.items():
        ways = [way for way, there in (("live", feature.subscribe), ("request", feature.request)) if there]
        if ways:
            names.append(f"{kind.value} ({', '.join(ways)})")
    return sorted(names)


def _orders(manifest: Manifest) -> list[str]:
    features = manifest.orders
    if features is None:
        return []
    lines = [f"{name}: {', '.join(sorted(tifs))}" for name, tifs in sorted(features.types.items())]
    flags = {
        "post-only": features.post_only,
        "reduce-only": features.reduce_only,
        "quote quantity": features.quote_quantity,
        "display quantity": features.display_quantity,
        "cancel all": features.cancel_all,
    }
    lines.append(", ".join(name for name, there in flags.items() if there))
    if features.modify:
        lines.append(f"modify {', '.join(sorted(features.modify))}")
    return [line for line in lines if line]
