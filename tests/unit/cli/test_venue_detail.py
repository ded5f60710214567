"""`venuekit venues VENUE` says what the manifest says."""

import json

from venuekit.cli.main import run


def out(capsys, *arguments):
    code = run(list(arguments))
    return code, capsys.readouterr()


def test_a_data_only_venue_has_no_orders(capsys):
    code, printed = out(capsys, "venues", "lighter", "--json")
    row = json.loads(printed.out)
    assert code == 0
    assert row["orders"] == []
    assert row["trades"] is False
    assert row["environments"]["mainnet"]["real_money"] is True
    assert row["data"] == ["instrument (request)"]


def test_a_trading_venue_for_people(capsys):
    code, printed = out(capsys, "venues", "paradex")
    assert code == 0
    assert "LIMIT: GTC, IOC" in printed.out
    assert "simulator  no real money" in printed.out
    assert "mainnet    real money" in printed.out


def test_error_codes_with_what_they_prove(capsys):
    code, printed = out(capsys, "venues", "paradex", "--errors", "--json")
    rows = {(row["domain"], row["code"]): row for row in map(json.loads, printed.out.splitlines())}
    assert code == 0
    # The venue's documents: a duplicate proves that the first arrived, a lost order is no proof of its fate.
    assert rows["rest", "DUPLICATED_CLIENT_ID"]["proves"] == "duplicate"
    assert rows["rest", "ORDER_IS_CLOSED"]["proves"] == "gone"
    assert rows["rest", "NOT_ONBOARDED"]["advice"]


def test_an_unknown_venue_and_a_lone_option(capsys):
    code, printed = out(capsys, "venues", "nowhere")
    assert code == 1
    assert "nowhere" in printed.err
    code, printed = out(capsys, "venues", "--errors")
    assert code == 2
