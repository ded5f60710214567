"""Writes the parts of the docs that are data elsewhere: manifests, example files, the fates of commands.

A part stands between `<!-- generated: NAME -->` and `<!-- end -->`. `python tools/make_docs.py` renews all of
them; `--check` writes nothing and exits with 1 when one is stale.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path

from venuekit.core.fate import ASKED, CANCEL, MODIFY, SUBMIT, Fate, Then
from venuekit.host.plugins import Registry, installed
from venuekit.interfaces.hooks import Kind
from venuekit.interfaces.manifest import Blocks, Bucket, Manifest, OrderFeatures

ROOT = Path(__file__).resolve().parent.parent
_PART = re.compile(r"(<!-- generated: (?P<name>[^ ]+) -->\n)(?:(?!<!-- ).)*(<!-- end -->)", re.DOTALL)

KINDS = {
    "book_deltas": "book deltas",
    "book_depth10": "book depth 10",
    "book_snapshot": "book snapshots",
    "quotes": "quotes",
    "trades": "trades",
    "bars": "bars",
    "mark_price": "mark price",
    "index_price": "index price",
    "funding_rate": "funding rate",
    "instrument": "instruments",
    "instrument_status": "instrument status",
    "instrument_close": "instrument close",
}


def main() -> int:
    """Renew the pages, or say which are stale."""
    parser = argparse.ArgumentParser(description="Renew the generated parts of the docs.")
    parser.add_argument("--check", action="store_true", help="write nothing; 1 when a part is stale")
    check = parser.parse_args().check
    stale = 0
    for page in pages():
        text = page.read_text(encoding="utf-8")
        new = renewed(text)
        if new != text:
            stale += 1
            print(f"{page.relative_to(ROOT)} {'is stale' if check else 'renewed'}")
            if not check:
                page.write_text(new, encoding="utf-8")
    return 1 if check and stale else 0


def pages() -> list[Path]:
    """Every page that may hold a generated part."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def renewed(text: str) -> str:
    """The text of a page with all its generated parts as they must be now."""
    return _PART.sub(lambda found: f"{found[1]}{part(found['name'])}\n{found[3]}", text)


def part(name: str) -> str:
    """One generated part, e.g. `venues`, `manifest:<venue>`, `limits:<venue>`, `file:<path>`."""
    what, _, which = name.partition(":")
    made: dict[str, Callable[[str], str]] = {
        "venues": _venues,
        "manifest": _manifest,
        "limits": _limits,
        "file": _file,
        "fates": _fates,
        "fate-table": _fate_table,
        "fate-diagram": _fate_diagram,
    }
    return made[what](which)


def _file(path: str) -> str:
    text = (ROOT / path).read_text(encoding="utf-8").rstrip("\n")
    language = {".py": "python", ".toml": "toml"}[Path(path).suffix]
    return f"```{language}\n{text}\n```"


def _table(heads: list[str], rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in [heads, ["---"] * len(heads), *rows])


def _venues(_: str) -> str:
    registry = installed()
    rows = [_venue(registry, key) for key in registry.keys(Kind.VENUE)]
    return _table(["venue", "package", "live data", "data on request", "orders", "simulator"], rows)


def _venue(registry: Registry, key: str) -> list[str]:
    manifest = registry.manifest(key)
    return [
        manifest.title,
        f"`{registry.entry(Kind.VENUE, key).origin.distribution}`",
        _data(manifest, "subscribe"),
        _data(manifest, "request"),
        _orders(manifest.orders),
        "yes" if key in registry.keys(Kind.SIMULATOR) else "no",
    ]


def _data(manifest: Manifest, way: str) -> str:
    found = [KINDS[kind.value] for kind, feature in manifest.data.items() if getattr(feature, way)]
    return ", ".join(found) or "none"


def _orders(orders: OrderFeatures | None) -> str:
    if orders is None:
        return "none: data only"
    found = [f"{kind} ({', '.join(sorted(times))})" for kind, times in sorted(orders.types.items())]
    flags = ("post_only", "reduce_only", "quote_quantity", "display_quantity", "cancel_all")
    found += [name.replace("_", " ") for name in flags if getattr(orders, name)]
    found += [f"{what} in one batch: {n}" for what, n in _batches(orders) if n > 1]
    found.append(f"modify {' and '.join(sorted(orders.modify))}" if orders.modify else "no modify")
    return ", ".join(found)


def _batches(orders: OrderFeatures) -> list[tuple[str, int]]:
    return [("submits", orders.batch_submit), ("cancels", orders.batch_cancel)]


def _manifest(key: str) -> str:
    """The tables of one venue's page."""
    manifest = installed().manifest(key)
    what = [
        ["products", ", ".join(f"`{name}`" for name in sorted(manifest.products))],
        ["live data", _data(manifest, "subscribe")],
        ["data on request", _data(manifest, "request")],
        ["orders", _orders(manifest.orders)],
        ["account", f"{manifest.account_type}, {manifest.oms_type}, in {', '.join(manifest.settlement)}"],
    ]
    if (ids := manifest.ids) is not None:
        what.append(["client order ids", f"at most {ids.client_id_max} of `{ids.client_id_pattern}`"])
    environments = [
        [f"`{name}`", "yes" if one.real_money else "no", *(f"`{url}`" for url in one.addresses.values())]
        for name, one in manifest.environments.items()
    ]
    names = list(next(iter(manifest.environments.values())).addresses)
    return "\n\n".join(
        (
            _table(["what", "how"], what),
            _table(["environment", "real money", *names], environments),
        )
    )


def _limits(key: str) -> str:
    """The rate limits of one venue, and which operations count against them."""
    manifest = installed().manifest(key)
    rows = [
        [f"`{name}`", one.scope.value, _rate(one), _users(manifest, name)]
        for name, one in manifest.buckets.items()
    ]
    return _table(["limit", "counted by", "rate", "operations"], rows)


def _rate(bucket: Bucket) -> str:
    if isinstance(bucket.per, Blocks):
        return f"{bucket.rate} in {bucket.per.n} blocks"
    return f"{bucket.rate} in {bucket.per.n:g} s"


def _users(manifest: Manifest, bucket: str) -> str:
    return ", ".join(f"`{op}`" for op, one in manifest.operations.items() if bucket in one.costs)


COMMANDS = {"submit": SUBMIT, "cancel": CANCEL, "modify": MODIFY}


def _fates(_: str) -> str:
    """What each fate means, and when it is asked about."""
    rows = [[f"`{fate.name}`", fate.value, ASKED[fate].value if fate in ASKED else "never"] for fate in Fate]
    return _table(["fate", "what is known", "looked up"], rows)


def _fate_table(command: str) -> str:
    """Every cell of one command's table; an empty one changes nothing."""
    table = COMMANDS[command]
    rows = []
    for heard, steps in table.steps.items():
        cells = []
        for fate in table.fates:
            step = steps[fate]
            to = f"`{step.to.name}`" if step.to not in (None, fate) else ""
            cells.append(", ".join(word for word in (to, step.then.value) if word))
        rows.append([heard.value, *cells])
    return _table(["evidence", *(f"`{fate.name}`" for fate in table.fates)], rows)


def _fate_diagram(command: str) -> str:
    """The same as a state diagram in the notation of Mermaid, with what follows after a slash."""
    table = COMMANDS[command]
    edges: dict[tuple[Fate, Fate], list[str]] = {}
    for heard, steps in table.steps.items():
        for fate, step in steps.items():
            to, then = table.next(fate, heard)
            if to is not fate or then not in (Then.NOTHING, Then.DOUBT, Then.RESEND, Then.DISBELIEVE):
                follows = "" if step.then is Then.NOTHING else f" / {then.name.lower()}"
                edges.setdefault((fate, to), []).append(heard.name.lower() + follows)
    lines = [f"    {one.name} --> {to.name} : {', '.join(said)}" for (one, to), said in edges.items()]
    first = f"    [*] --> {table.fates[0].name}"
    return "\n".join(["```mermaid", "stateDiagram-v2", first, *lines, "```"])


if __name__ == "__main__":
    sys.exit(main())
