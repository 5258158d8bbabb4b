"""Drives every call of edx-braze-client that the sandbox serves.

usage: braze_client.py http://127.0.0.1:PORT
"""

import time

from braze.client import BrazeClient
from braze.exceptions import (
    BrazeBadRequestError,
    BrazeInternalServerError,
    BrazeRateLimitError,
    BrazeUnauthorizedError,
)
from sandbox import Sandbox, prove, prove_refused

TIME = "2026-01-02T03:04:05Z"
FULL = 75  # the most objects that one request may hold


def track(client: BrazeClient, sandbox: Sandbox) -> None:
    users = [sandbox.id(number) for number in range(FULL)]
    event, product = sandbox.id("opened"), sandbox.id("coffee")

    client.track_user(
        attributes=[
            {"external_id": user, "email": f"{user}@example.com", "plan": "pro", "visits": number}
            for number, user in enumerate(users)
        ]
    )
    arrived = [user for user in sandbox.lines("braze/users") if user.get("external_id") in set(users)]
    prove(f"{FULL} attribute objects make {FULL} users", len(arrived), FULL)
    prove("a user is found by e-mail", client.get_braze_external_id(f"{users[3]}@example.com"), users[3])

    client.track_user(
        events=[
            {"external_id": user, "name": event, "time": TIME, "properties": {"number": number, "deep": {"a": [1]}}}
            for number, user in enumerate(users)
        ]
    )
    events = [line for line in sandbox.lines("braze/events") if line["name"] == event]
    prove(f"{FULL} events arrive once each", len(events), FULL)
    prove("each with its own properties", {line["properties"]["number"] for line in events}, set(range(FULL)))
    prove("nested properties stay as they are", events[0]["properties"]["deep"], {"a": [1]})

    client.track_user(
        purchases=[
            {"external_id": user, "product_id": product, "currency": "USD", "price": 4.25, "quantity": 2, "time": TIME}
            for user in users
        ]
    )
    purchases = [line for line in sandbox.lines("braze/purchases") if line["product_id"] == product]
    prove(f"{FULL} purchases arrive once each", len(purchases), FULL)
    prove("with price and quantity", (purchases[0]["price"], purchases[0]["quantity"]), (4.25, 2))

    mixed = sandbox.id("mixed")
    client.track_user(
        attributes=[{"external_id": user, "plan": "free"} for user in users[:25]],
        events=[{"external_id": user, "name": mixed, "time": TIME} for user in users[:25]],
        purchases=[
            {"external_id": user, "product_id": mixed, "currency": "USD", "price": 1, "time": TIME}
            for user in users[:25]
        ],
    )
    prove("25 of each kind fit one request", len([e for e in sandbox.lines("braze/events") if e["name"] == mixed]), 25)

    again = sandbox.id("again")
    for _ in range(2):
        client.track_user(events=[{"external_id": users[0], "name": again, "time": TIME}])
    repeated = [line for line in sandbox.lines("braze/events") if line["name"] == again]
    prove("the same event twice is two events, as at Braze", len(repeated), 2)


def aliases(client: BrazeClient, sandbox: Sandbox) -> None:
    label = sandbox.id("shop")
    email = f"{sandbox.id('alias')}@example.com"
    user = sandbox.id("identified")

    prove("a stranger has no id", client.get_braze_external_id(email), None)
    client.create_braze_alias([email], label, [])
    prove("an alias alone has no id", client.get_braze_external_id_batch([email], label), {})

    answer = client.identify_users(
        [{"external_id": user, "user_alias": {"alias_label": label, "alias_name": email}}]
    )
    prove("identify answers success", answer["message"], "success")
    prove("the alias belongs to the user now", client.get_braze_external_id_batch([email], label), {email: user})
    prove("and the user is found by e-mail", client.get_braze_external_id(email), user)

    recipients = client.create_recipients(label, {email: user})
    prove("identifying again changes nothing", recipients[email]["external_user_id"], user)


def refusals(client: BrazeClient, sandbox: Sandbox) -> None:
    nameless = [{"external_id": sandbox.id("nameless"), "time": TIME}]
    refused = prove_refused(
        "a request without one valid object is a 400", BrazeBadRequestError, lambda: client.track_user(events=nameless)
    )
    prove("which says what is missing", "name" in str(refused))

    good = sandbox.id("good")
    client.track_user(events=nameless + [{"external_id": sandbox.id("good"), "name": good, "time": TIME}])
    arrived = [line for line in sandbox.lines("braze/events") if line["name"] == good]
    prove("one bad event does not hold up the good one beside it", len(arrived), 1)

    def send():
        return client.track_user(attributes=[{"external_id": sandbox.id("fault"), "plan": "pro"}])

    with sandbox.faults(revoked=True):
        prove_refused("a revoked key is a 401", BrazeUnauthorizedError, send)
    with sandbox.faults(unavailable=1.0):
        prove_refused("an outage is a 5xx", BrazeInternalServerError, send)
    with sandbox.faults(throttled=1.0):
        throttled = prove_refused("too many requests are a 429", BrazeRateLimitError, send)
    seconds = throttled.reset_epoch_s - time.time()
    prove("which says when to come back: within the hour", -5 < seconds <= 3600)
    prove(
        "none of the three took effect",
        [line for line in sandbox.lines("braze/users") if line.get("external_id") == sandbox.id("fault")],
        [],
    )
    send()
    prove("and afterwards all is well", client.get_braze_external_id(f"{sandbox.id(3)}@example.com"), sandbox.id(3))


def main() -> None:
    sandbox = Sandbox()
    client = BrazeClient(api_key="sandbox", api_url=sandbox.url, app_id="sandbox")
    track(client, sandbox)
    aliases(client, sandbox)
    refusals(client, sandbox)


if __name__ == "__main__":
    main()
