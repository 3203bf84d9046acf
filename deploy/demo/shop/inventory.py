"""Inventory: what is in stock, reservations, and a delivery when an item runs short. Keeps its stock in the store."""

from shop.peers import PeerError
from shop.service import Body, peer_arguments, serve

DELIVERY = 200  # pieces


def main() -> None:
    (store,) = peer_arguments()

    def check(body: Body) -> Body:
        stock = store.post("/stock", {"items": list(body["basket"])})["stock"]
        return {"available": all(stock[item] >= wanted for item, wanted in body["basket"].items())}

    def reserve(body: Body) -> Body:
        taken = {item: -wanted for item, wanted in body["basket"].items()}
        try:
            return store.post("/move", {"changes": taken})
        except PeerError as error:
            if error.status != 409:
                raise
        store.post("/move", {"changes": dict.fromkeys(taken, DELIVERY)})
        return store.post("/move", {"changes": taken})

    def release(body: Body) -> Body:
        return store.post("/move", {"changes": body["basket"]})

    serve({"/check": check, "/reserve": reserve, "/release": release})


if __name__ == "__main__":
    main()
