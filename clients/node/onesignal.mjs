// Drives every call of the official OneSignal client that the sandbox serves, and of the
// client that came before it: `/api/v1`, `Basic` keys and tags by external id.
//
// usage: node onesignal.mjs http://127.0.0.1:PORT

import { randomUUID } from "node:crypto";
import * as OneSignal from "@onesignal/node-onesignal";
import { Client, HTTPError } from "onesignal-node";
import { id, prove, proveRefused, stats, url, withFaults } from "./sandbox.mjs";

const APP = randomUUID();
const api = new OneSignal.DefaultApi(
  OneSignal.createConfiguration({
    baseServer: new OneSignal.ServerConfiguration(url, {}),
    restApiKey: "sandbox",
  }),
);
const user = id("user");
const email = { type: "Email", token: `${user}@example.com` };
const get = () => api.getUser(APP, "external_id", user);

async function users() {
  const created = await api.createUser(APP, {
    identity: { external_id: user },
    properties: { tags: { plan: "free" }, language: "fr" },
    subscriptions: [email],
  });
  prove("a created user comes back under its external id", created.identity.external_id, user);
  prove("with an id of OneSignal's own", Boolean(created.identity.onesignal_id));

  const found = await get();
  prove("it has its tags", found.properties.tags, { plan: "free" });
  prove("and its subscription", found.subscriptions.map((s) => s.token), [email.token]);

  await api.updateUser(APP, "external_id", user, {
    properties: { tags: { plan: "pro" } },
    deltas: { purchases: [{ sku: "coffee", amount: "4.25", iso: "USD", count: 2 }] },
  });
  prove("an update sets a tag", (await get()).properties.tags, { plan: "pro" });
}

async function aliasesAndSubscriptions() {
  const aliases = await api.createAlias(APP, "external_id", user, { identity: { crm_id: id("crm") } });
  prove("an alias is added", [aliases.identity.crm_id, aliases.identity.external_id], [id("crm"), user]);
  prove("and finds the user", (await api.getUser(APP, "crm_id", id("crm"))).identity.external_id, user);

  const phone = `+1555${String(Date.now()).slice(-7)}`;
  const made = await api.createSubscription(APP, "external_id", user, { subscription: { type: "SMS", token: phone } });
  prove("a subscription is added", [made.subscription.type, made.subscription.token], ["SMS", phone]);
  prove("beside the first", (await get()).subscriptions.map((s) => s.token).sort(), [email.token, phone].sort());
}

async function events() {
  const send = (...externalIds) =>
    api.createCustomEvents(APP, {
      events: externalIds.map((external_id) => ({
        name: "order_placed",
        external_id,
        timestamp: new Date("2026-01-02T03:04:05Z"),
        payload: { total: 4.25, items: ["a"] },
      })),
    });

  const before = (await stats("onesignal")).events;
  prove("events of a known user leave no errors", "errors" in (await send(user, user)), false);
  prove("and take effect", (await stats("onesignal")).events, before + 2);

  const { errors } = await send(user, id("stranger"));
  prove("an unknown user is an error of that event alone", errors.map((e) => e.event_user_id), [id("stranger")]);
  prove("with a readable cause", errors[0].error.title.includes("onesignal_id"));
  prove("and the event beside it took effect", (await stats("onesignal")).events, before + 3);
}

async function refusals() {
  for (const [faults, status] of [[{ revoked: true }, 401], [{ throttled: 1 }, 429], [{ unavailable: 1 }, 503]]) {
    const refused = await withFaults(faults, () => proveRefused(`${JSON.stringify(faults)} is refused`, get));
    prove(`with a ${status} that the client can read`, refused.code, status);
  }
}

async function older() {
  const client = (key) => new Client(APP, key, { apiRoot: `${url}/api/v1` });
  const sent = await client("sandbox").createNotification({ contents: { en: "Hello" }, included_segments: ["All"] });
  prove("onesignal-node: a notification has an id", Boolean(sent.body.id));

  const edited = await client("sandbox").editTagsWithExternalUserIdDevice(user, { tags: { plan: "older", size: 7 } });
  prove("tags are edited by external id", edited.body, { success: true });
  prove("and are seen by the official client", (await get()).properties.tags, { plan: "older", size: "7" });

  for (const [key, faults, status] of [["revoked", {}, 401], ["sandbox", { throttled: 1 }, 429], ["sandbox", { unavailable: 1 }, 503]]) {
    const edit = () => client(key).editTagsWithExternalUserIdDevice(user, { tags: {} });
    const refused = await withFaults(faults, () => proveRefused(`${key} ${JSON.stringify(faults)} is refused`, edit));
    prove(`with a ${status} that the client can read`, [refused instanceof HTTPError, refused.statusCode], [true, status]);
  }
}

async function deletion() {
  await api.deleteUser(APP, "external_id", user);
  prove("a deleted user is gone", (await proveRefused("looking for it is refused", get)).code, 404);
}

await users();
await aliasesAndSubscriptions();
await events();
await refusals();
await older();
await deletion();
