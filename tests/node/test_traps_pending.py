"""Reports that meet a pending cancel or a pending modify, shown on bare Nautilus."""

from __future__ import annotations

from typing import Any

import bare_node as bare
from nautilus_trader.model import OrderStatus, VenueOrderId


async def _pending(rig: bare.Rig, kind: str) -> Any:
    order = rig.recorder.buy()
    await rig.until(lambda: "OrderAccepted" in rig.recorder.kinds(), "accepted")
    if kind == "cancel":
        rig.recorder.cancel_order(order.client_order_id)
        await rig.until(lambda: rig.order(order).status == OrderStatus.PENDING_CANCEL, "pending cancel")
    else:
        rig.recorder.modify_order(order.client_order_id, quantity=bare.Quantity.from_str("0.020"))
        await rig.until(lambda: rig.order(order).status == OrderStatus.PENDING_UPDATE, "pending update")
    return order


async def _barrier(rig: bare.Rig) -> None:
    before = rig.recorder.kinds().count("OrderAccepted")
    rig.recorder.buy()
    await rig.until(lambda: rig.recorder.kinds().count("OrderAccepted") > before, "the barrier order")


def test_a_report_on_an_accepted_order_updates_it() -> None:
    async def body(rig: bare.Rig) -> None:
        order = rig.recorder.buy()
        await rig.until(lambda: "OrderAccepted" in rig.recorder.kinds(), "accepted")
        report = bare.order_report(order, OrderStatus.ACCEPTED, quantity="0.020", price="101.0")
        rig.execution["V"]._handle_report(report)
        await rig.until(lambda: "OrderUpdated" in rig.recorder.kinds(), "updated")
        assert (str(rig.order(order).quantity), str(rig.order(order).price)) == ("0.020", "101.0")

    bare.run(bare.build(), body)


def test_a_report_on_a_pending_modify_is_an_accept_and_loses_the_new_values() -> None:
    async def body(rig: bare.Rig) -> None:
        order = await _pending(rig, "modify")
        report = bare.order_report(
            order, OrderStatus.ACCEPTED, quantity="0.020", price="101.0", venue_order_id="V-NEW"
        )
        rig.execution["V"]._handle_report(report)
        await rig.until(lambda: rig.order(order).status == OrderStatus.ACCEPTED, "no longer pending")
        live = rig.order(order)
        assert (str(live.quantity), str(live.price)) == ("0.010", "100.0")
        assert live.venue_order_id == bare.venue_order_id_of(order)

    bare.run(bare.build(), body)


def test_an_update_event_confirms_a_modify_and_takes_over_a_new_venue_id() -> None:
    async def body(rig: bare.Rig) -> None:
        order = await _pending(rig, "modify")
        client, live = rig.execution["V"], rig.order(order)
        client.generate_order_updated(
            live, VenueOrderId("V-NEW"), bare.Quantity.from_str("0.020"), live.price, None, None, 1
        )
        await rig.until(lambda: "OrderUpdated" in rig.recorder.kinds(), "updated")
        live = rig.order(order)
        assert (str(live.quantity), live.venue_order_id.value) == ("0.020", "V-NEW")
        assert live.status == OrderStatus.ACCEPTED
        for venue_id in (VenueOrderId("V-NEW"), bare.venue_order_id_of(order)):
            assert client.cache.client_order_id(venue_id) == order.client_order_id

    bare.run(bare.build(), body)


def test_a_still_open_report_does_not_end_a_pending_cancel() -> None:
    async def body(rig: bare.Rig) -> None:
        order = await _pending(rig, "cancel")
        client = rig.execution["V"]
        client._handle_report(bare.order_report(order, OrderStatus.ACCEPTED))
        await _barrier(rig)
        assert rig.order(order).status == OrderStatus.PENDING_CANCEL
        client.generate_order_cancel_rejected(rig.order(order), bare.venue_order_id_of(order), "no", 1)
        await rig.until(lambda: rig.order(order).status == OrderStatus.ACCEPTED, "open again")

    bare.run(bare.build(), body)


def test_a_cancelled_report_ends_a_pending_cancel() -> None:
    async def body(rig: bare.Rig) -> None:
        order = await _pending(rig, "cancel")
        rig.execution["V"]._handle_report(bare.order_report(order, OrderStatus.CANCELED))
        await rig.until(lambda: rig.order(order).status == OrderStatus.CANCELED, "cancelled")

    bare.run(bare.build(), body)
