"""One delivery of a supplier, explained as people see it, its payload, and the command that repeats
it. It is not tried again from here: a link changes nothing.
"""

from http import HTTPMethod

from flask import Response

from dashboard.pages import Page, supplied
from dashboard.rows.payloads import shown_payload
from dashboard.views.one_delivery import command_of, explained
from dashboard.views.supplier.own import own_callback, own_delivery, own_webhook
from dashboard.visit import Visit
from schemas.errors import NotFound
from schemas.listings import DeliveryDetail
from schemas.tokens.masking import masked_url


def supplier_delivery(visit: Visit, delivery_id: str) -> Response:
    """A delivery."""
    with visit.parts.database.read() as connection:
        detail = own_delivery(visit, connection, delivery_id)
        body = own_webhook(visit, connection, detail)
        _, values = explained(visit, connection, detail)
    if body is None:
        values["payload"] = None
    return visit.render("supplier_delivery.html", **values)


def supplier_command(visit: Visit, delivery_id: str) -> Response:
    """Show the command that sends the webhook from a shell, signed now, without the secret. It is
    asked for by a form: no cache and no history keeps a signature.
    """
    detail, body = _with_webhook(visit, delivery_id)
    callback = own_callback(visit, detail.delivery.type)
    return visit.render(
        "curl.html",
        command=command_of(visit, detail, visit.own_token, callback, body),
        delivery_id=delivery_id,
        payload_address=f"{visit.base}/deliveries/{delivery_id}",
        own_headers=sorted(callback.headers),
        is_url_masked=masked_url(callback.url) != callback.url,
    )


def supplier_payload(visit: Visit, delivery_id: str) -> Response:
    """All of a payload on a page of its own."""
    _, body = _with_webhook(visit, delivery_id)
    return visit.render(
        "payload.html",
        address=f"{visit.base}/deliveries/{delivery_id}",
        payload=shown_payload(body, whole=True),
        as_sent=visit.query.get("as") == "sent",
    )


def supplier_payload_file(visit: Visit, delivery_id: str) -> Response:
    """The payload as a file, byte for byte."""
    detail, body = _with_webhook(visit, delivery_id)
    response = Response(body, content_type="application/json")
    name = f"{detail.delivery.event_id}.json"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _with_webhook(visit: Visit, delivery_id: str) -> tuple[DeliveryDetail, bytes]:
    with visit.parts.database.read() as connection:
        detail = own_delivery(visit, connection, delivery_id)
        body = own_webhook(visit, connection, detail)
    if body is None:
        raise NotFound("this payload is not stored any more, or not yours to see any more")
    return detail, body


_DELIVERY = "/supplier/<token_id>/deliveries/<delivery_id>"

PAGES: tuple[Page, ...] = (
    supplied(_DELIVERY, supplier_delivery),
    supplied(_DELIVERY + "/command", supplier_command, HTTPMethod.POST),
    supplied(_DELIVERY + "/payload", supplier_payload),
    supplied(_DELIVERY + "/payload.json", supplier_payload_file),
)
