"""Payments: checks the card, signs a receipt and writes it to the ledger in the store."""

import hashlib

from shop.service import Body, RefusedError, peer_arguments, serve

ROUNDS = 3_000  # of the receipt's signature: about a millisecond of CPU


def is_card(number: str) -> bool:
    """Luhn's check: one wrong digit never passes.

    >>> is_card("4539578763621486"), is_card("4539578763621487")
    (True, False)
    """
    digits = [int(digit) for digit in number[::-1]]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0


def main() -> None:
    (store,) = peer_arguments()

    def charge(body: Body) -> Body:
        if not is_card(body["card"]):
            raise RefusedError(402, "the card's number is wrong")
        text = f"{body['order']} {body['amount']:.2f}"
        receipt = hashlib.pbkdf2_hmac("sha256", text.encode(), body["card"].encode(), ROUNDS).hex()
        store.post("/ledger", {"order": body["order"], "amount": body["amount"], "receipt": receipt})
        return {"receipt": receipt}

    serve({"/charge": charge})


if __name__ == "__main__":
    main()
