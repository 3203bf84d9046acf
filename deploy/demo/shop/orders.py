"""Orders: quotes a basket, or reserves, prices and charges it. Calls inventory, pricing and payments in turn."""

import uuid

from shop.peers import PeerError
from shop.service import Body, peer_arguments, serve


def main() -> None:
    inventory, pricing, payments = peer_arguments()

    def quote(body: Body) -> Body:
        stock = inventory.post("/check", {"basket": body["basket"]})
        price = pricing.post("/price", {"basket": body["basket"]})
        return {"total": price["total"], "available": stock["available"]}

    def order(body: Body) -> Body:
        basket = {"basket": body["basket"]}
        inventory.post("/reserve", basket)
        try:
            total = pricing.post("/price", basket)["total"]
            number = uuid.uuid4().hex
            paid = payments.post("/charge", {"order": number, "card": body["card"], "amount": total})
        except PeerError:
            inventory.post("/release", basket)
            raise
        return {"order": number, "total": total, "receipt": paid["receipt"]}

    serve({"/quote": quote, "/order": order})


if __name__ == "__main__":
    main()
