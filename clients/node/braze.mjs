// Drives every call of braze-api that the sandbox serves.
//
// usage: node braze.mjs http://127.0.0.1:PORT

import { Braze } from "braze-api";
import { id, lines, plain, prove, proveRefused, url, withFaults } from "./sandbox.mjs";

const KEY = "sandbox";
const TIME = "2026-01-02T03:04:05Z";
const FULL = 75; // the most objects that one request may hold
const FIELDS = ["external_id", "email", "first_name", "custom_attributes", "custom_events", "purchases", "user_aliases"];

const braze = new Braze(url, KEY);
const users = Array.from({ length: FULL }, (_, number) => id(number));
const exported = async (...externalIds) =>
  (await braze.users.export.ids({ external_ids: externalIds, fields_to_export: FIELDS })).users;

async function track() {
  const attributes = users.map((user, number) => ({
    external_id: user,
    email: `${user}@example.com`,
    first_name: "Ada",
    visits: number,
  }));
  const answer = await braze.users.track({ attributes });
  prove("75 attribute objects are processed", [answer.message, answer.attributes_processed], ["success", FULL]);

  const [user] = await exported(users[7]);
  prove("a user exports with standard fields", [user.email, user.first_name], [`${users[7]}@example.com`, "Ada"]);
  prove("and custom attributes", user.custom_attributes, { visits: 7 });

  const name = id("opened");
  const events = users.map((external_id, number) => ({ external_id, name, time: TIME, properties: { number } }));
  const bulk = await braze.users.track({ events }, true);
  prove("75 events with the bulk flag are processed", bulk.events_processed, FULL);
  const arrived = (await lines("braze/events")).filter((event) => event.name === name);
  prove("and arrive once each", new Set(arrived.map((event) => event.properties.number)).size, FULL);
  prove("none of them twice", arrived.length, FULL);

  const product_id = id("coffee");
  const purchases = users.map((external_id) => ({ external_id, product_id, currency: "USD", price: 4.25, time: TIME }));
  prove("75 purchases are processed", (await braze.users.track({ purchases })).purchases_processed, FULL);
  const bought = (await lines("braze/purchases")).filter((purchase) => purchase.product_id === product_id);
  prove("and arrive once each", bought.length, FULL);

  const [history] = await exported(users[7]);
  prove("the export counts the event", history.custom_events.find((event) => event.name === name)?.count, 1);
  prove("and the purchase", history.purchases.find((purchase) => purchase.name === product_id)?.count, 1);

  await braze.users.track({ attributes: [{ external_id: users[7], visits: { inc: 5 } }] });
  prove("a number is incremented", (await exported(users[7]))[0].custom_attributes, { visits: 12 });
  await braze.users.track({ attributes: [{ external_id: users[7], visits: null }] });
  prove("null removes an attribute", "visits" in ((await exported(users[7]))[0].custom_attributes ?? {}), false);
}

async function refusals() {
  const name = id("partial");
  const good = { external_id: users[0], name, time: TIME };
  const partial = await braze.users.track({ events: [good, { external_id: users[1], time: TIME }, good] });
  prove("a bad event is named by its index", partial.errors.map((e) => [e.input_array, e.index]), [["events", 1]]);
  prove("and the others take effect", (await lines("braze/events")).filter((e) => e.name === name).length, 2);

  const many = [...users, id("one-too-many")].map((external_id) => ({ external_id, plan: "pro" }));
  const tooMany = await proveRefused("76 objects are refused", () => braze.users.track({ attributes: many }));
  prove("with a 400", tooMany.status, 400);

  const send = () => braze.users.track({ attributes: [{ external_id: id("fault"), plan: "pro" }] });
  for (const [faults, status] of [[{ revoked: true }, 401], [{ throttled: 1 }, 429], [{ unavailable: 1 }, 503]]) {
    const refused = await withFaults(faults, () => proveRefused(`${JSON.stringify(faults)} is refused`, send));
    prove(`with a ${status}`, refused.status, status);
  }
  prove("none of which took effect", await exported(id("fault")), []);
}

async function identities() {
  const label = id("shop");
  const alias = (name) => ({ alias_label: label, alias_name: name });

  await braze.users.alias.new({ user_aliases: [{ ...alias("a"), external_id: users[0] }, alias("b")] });
  prove("an alias is added to a user", (await exported(users[0]))[0].user_aliases, [alias("a")]);

  await braze.users.identify({ aliases_to_identify: [{ external_id: id("known"), user_alias: alias("b") }] });
  prove("an alias alone becomes a user", (await exported(id("known")))[0].user_aliases, [alias("b")]);

  await braze.users.alias.update({
    alias_updates: [{ alias_label: label, old_alias_name: "b", new_alias_name: "c" }],
  });
  prove("an alias is renamed", (await exported(id("known")))[0].user_aliases, [alias("c")]);

  await braze.users.merge({
    merge_updates: [
      { identifier_to_merge: { external_id: users[1] }, identifier_to_keep: { external_id: users[2] } },
    ],
  });
  prove("a merged user is gone", await exported(users[1]), []);
  prove("and the kept one stays", (await exported(users[2]))[0].external_id, users[2]);

  const deleted = await braze.users.delete({ external_ids: users.slice(10, 60) });
  prove("50 users are deleted", [deleted.deleted, deleted.message], [50, "success"]);
  prove("and are gone", await exported(...users.slice(10, 60)), []);
  const strangers = await braze.users.export.ids({ external_ids: [users[10]], fields_to_export: FIELDS });
  prove("an unknown id is named", strangers.invalid_user_ids, [users[10]]);
}

async function catalogs() {
  const catalog_name = id("menu");
  const fields = [{ name: "id", type: "string" }, { name: "name", type: "string" }, { name: "price", type: "number" }];
  const items = Array.from({ length: 60 }, (_, number) => ({
    id: `item-${String(number).padStart(2, "0")}`,
    name: `Jaffle ${number}`,
    price: number / 4,
  }));
  const created = { catalogs: [{ name: catalog_name, description: "From a test", fields }] };
  prove("a catalog is created", await plain("POST", "/catalogs", KEY, created), 201);
  const path = `/catalogs/${catalog_name}/items`;
  prove("50 items are taken", await plain("POST", path, KEY, { items: items.slice(0, 50) }), 202);
  prove("and 10 more", await plain("POST", path, KEY, { items: items.slice(50) }), 202);

  const listed = (await braze.catalogs.synchronous.list()).catalogs.find((catalog) => catalog.name === catalog_name);
  prove("the catalog is listed with its size", [listed.num_items, listed.fields], [60, fields]);

  const paged = [];
  for await (const item of braze.catalogs.synchronous.items({ catalog_name })) paged.push(item);
  prove("all pages of items come back", paged.sort((a, b) => a.id.localeCompare(b.id)), items);

  const one = await braze.catalogs.synchronous.item({ catalog_name, item_id: "item-07" });
  prove("one item comes back", one.items, [items[7]]);
  prove("DELETE takes items away", await plain("DELETE", path, KEY, { items: [{ id: "item-07" }] }), 202);
  const gone = await proveRefused("a deleted item is refused", () =>
    braze.catalogs.synchronous.item({ catalog_name, item_id: "item-07" }),
  );
  prove("with a 404", gone.status, 404);
  prove("the side door shows the same", (await lines(`braze/catalogs/${catalog_name}`)).length, 59);
}

await track();
await refusals();
await identities();
await catalogs();
