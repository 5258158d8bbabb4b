"""Drives every call of the official OneSignal client that the sandbox serves.

usage: onesignal_client.py http://127.0.0.1:PORT
"""

import datetime
import uuid

import onesignal
from onesignal.api.default_api import DefaultApi
from onesignal.exceptions import ApiException, NotFoundException, UnauthorizedException
from onesignal.models import (
    CustomEvent,
    CustomEventsRequest,
    IdentityObject,
    PropertiesDeltas,
    PropertiesObject,
    Purchase,
    Subscription,
    SubscriptionBody,
    UpdateUserRequest,
    User,
    UserIdentityBody,
)
from sandbox import Sandbox, prove, prove_refused

APP = str(uuid.uuid4())
TIME = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)


def users(api: DefaultApi, sandbox: Sandbox) -> str:
    user = sandbox.id("user")

    created = api.create_user(
        APP,
        User(
            identity=IdentityObject(external_id=user),
            properties=PropertiesObject(tags={"plan": "free"}, language="fr", country="FR"),
            subscriptions=[Subscription(type="Email", token=f"{user}@example.com")],
        ),
    )
    prove("a created user comes back under its external id", created.identity["external_id"], user)
    prove("with an id of OneSignal's own", bool(created.identity["onesignal_id"]))

    found = api.get_user(APP, "external_id", user)
    prove("it has its tags", found.properties.tags, {"plan": "free"})
    prove("and its subscription", [s.token for s in found.subscriptions], [f"{user}@example.com"])
    same = api.get_user(APP, "onesignal_id", found.identity["onesignal_id"])
    prove("it is found by OneSignal's id too", same.identity["external_id"], user)

    api.create_user(
        APP,
        User(
            identity=IdentityObject(external_id=user),
            properties=PropertiesObject(tags={"seats": "3"}),
            subscriptions=[Subscription(type="Email", token=f"{user}@example.com")],
        ),
    )
    again = api.get_user(APP, "external_id", user)
    prove("creating it again updates it", again.properties.tags, {"plan": "free", "seats": "3"})
    prove("without a second subscription", len(again.subscriptions), 1)

    api.update_user(
        APP,
        "external_id",
        user,
        UpdateUserRequest(
            properties=PropertiesObject(tags={"plan": "pro", "seats": ""}),
            deltas=PropertiesDeltas(purchases=[Purchase(sku="coffee", amount="4.25", iso="USD", count=2)]),
        ),
    )
    updated = api.get_user(APP, "external_id", user)
    prove("an update sets one tag and removes an empty one", updated.properties.tags, {"plan": "pro"})
    return user


def aliases_and_subscriptions(api: DefaultApi, sandbox: Sandbox, user: str) -> None:
    crm = sandbox.id("crm")
    aliases = api.create_alias(APP, "external_id", user, UserIdentityBody(identity=IdentityObject(crm_id=crm)))
    prove("an alias is added", (aliases.identity["crm_id"], aliases.identity["external_id"]), (crm, user))
    prove("and finds the user", api.get_user(APP, "crm_id", crm).identity["external_id"], user)

    phone = f"+1555{uuid.uuid4().int % 10_000_000:07}"
    made = api.create_subscription(
        APP, "external_id", user, SubscriptionBody(subscription=Subscription(type="SMS", token=phone))
    )
    prove("a subscription is added", (made.subscription.type, made.subscription.token), ("SMS", phone))
    tokens = {s.token for s in api.get_user(APP, "external_id", user).subscriptions}
    prove("beside the first", tokens, {phone, f"{user}@example.com"})


def events(api: DefaultApi, sandbox: Sandbox, user: str) -> None:
    def send(*external_ids: str):
        batch = [
            CustomEvent(name="order_placed", external_id=to, timestamp=TIME, payload={"total": 4.25, "items": ["a"]})
            for to in external_ids
        ]
        return api.create_custom_events(APP, CustomEventsRequest(events=batch))

    before = sandbox.stats("onesignal")["events"]
    prove("events of a known user leave no errors", "errors" in send(user, user), False)
    prove("and take effect", sandbox.stats("onesignal")["events"], before + 2)

    stranger = sandbox.id("stranger")
    errors = send(user, stranger)["errors"]
    prove("an unknown user is an error of that event alone", [e["event_user_id"] for e in errors], [stranger])
    prove("with a readable cause", "onesignal_id" in errors[0]["error"]["title"])
    prove("and the event beside it took effect", sandbox.stats("onesignal")["events"], before + 3)


def refusals(api: DefaultApi, sandbox: Sandbox, user: str) -> None:
    def look():
        return api.get_user(APP, "external_id", user)

    with sandbox.faults(revoked=True):
        prove_refused("a revoked key is a 401", UnauthorizedException, look)
    with sandbox.faults(throttled=1.0):
        throttled = prove_refused("too many requests are refused", ApiException, look)
    prove("with a 429", throttled.status, 429)
    prove("that says how long to wait", float(throttled.headers["Retry-After"]) > 0)
    with sandbox.faults(unavailable=1.0):
        prove("an outage is a 503", prove_refused("an outage is refused", ApiException, look).status, 503)


def deletion(api: DefaultApi, user: str) -> None:
    api.delete_user(APP, "external_id", user)
    prove_refused(
        "a deleted user is gone", NotFoundException, lambda: api.get_user(APP, "external_id", user)
    )


def main() -> None:
    sandbox = Sandbox()
    configuration = onesignal.Configuration(host=sandbox.url, rest_api_key="sandbox")
    with onesignal.ApiClient(configuration) as client:
        api = DefaultApi(client)
        user = users(api, sandbox)
        aliases_and_subscriptions(api, sandbox, user)
        events(api, sandbox, user)
        refusals(api, sandbox, user)
        deletion(api, user)


if __name__ == "__main__":
    main()
