"""Where Revio calls: verify, store, answer; the work comes later."""

from typing import Any, Final

from flask import request
from flask_smorest import Blueprint

from octoco.errors import Refusal, Unavailable
from payments_gateway.adapters.metrics import WEBHOOKS
from payments_gateway.adapters.revio.webhook_format import SIGNATURE_HEADER
from payments_gateway.bootstrap import Gateway

PATH: Final = "/webhooks/revio"


def blueprint(gateway: Gateway) -> Blueprint:
    """Build the route that Revio's webhooks call."""
    routes = Blueprint("webhooks", __name__, description="Calls from Revio")

    @routes.route(PATH, methods=["POST"])
    @routes.response(200)
    def receive() -> dict[str, Any]:
        """Take in one webhook delivery, signed with the webhook's key (X-Signature)."""
        # The signature is over the very bytes, so nothing may parse them first.
        body = request.get_data(cache=False, parse_form_data=False)
        try:
            result = gateway.receive_webhook(body, signature=request.headers.get(SIGNATURE_HEADER))
        except (Refusal, Unavailable) as error:
            WEBHOOKS.labels(result=error.code).inc()
            raise
        WEBHOOKS.labels(result=result).inc()
        return {"result": result}

    return routes
