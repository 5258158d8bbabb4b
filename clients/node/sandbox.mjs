// The side door of the sandbox: what took effect, and how it misbehaves.

import { randomUUID } from "node:crypto";
import { isDeepStrictEqual } from "node:util";

if (process.argv.length !== 3) {
  console.error(`usage: node ${process.argv[1]} http://127.0.0.1:PORT`);
  process.exit(2);
}

export const url = process.argv[2].replace(/\/$/, "");
const prefix = `js-${randomUUID().slice(0, 8)}`;

/** A name that no other run uses. */
export const id = (name) => `${prefix}-${name}`;

async function send(method, path, body) {
  const headers = body === undefined ? {} : { "content-type": "application/json" };
  const answer = await fetch(url + path, { method, body: body && JSON.stringify(body), headers });
  if (!answer.ok) throw new Error(`${method} ${path} answered ${answer.status}: ${await answer.text()}`);
  return answer.text();
}

/** How many things of each kind a vendor's side holds. */
export const stats = async (vendor) => JSON.parse(await send("GET", `/_sandbox/${vendor}/stats`));

/** Everything of one kind, for example `braze/events`. */
export async function lines(path) {
  const text = await send("GET", `/_sandbox/${path}`);
  return text.split("\n").filter(Boolean).map((line) => JSON.parse(line));
}

/** Misbehaves while `inside` runs. */
export async function withFaults(faults, inside) {
  await send("PUT", "/_sandbox/faults", faults);
  try {
    return await inside();
  } finally {
    await send("PUT", "/_sandbox/faults", {});
  }
}

/** A call for which the client has no function. */
export async function plain(method, path, key, body) {
  const headers = { "content-type": "application/json", authorization: `Bearer ${key}` };
  const answer = await fetch(url + path, { method, body: JSON.stringify(body), headers });
  return answer.status;
}

/** Prints `what` when it holds; ends the program when it does not. */
export function prove(what, found, expected = true) {
  if (!isDeepStrictEqual(found, expected)) {
    console.error(`DIFFERS  ${what}\n  expected`, expected, "\n  found   ", found);
    process.exit(1);
  }
  console.log(`ok  ${what}`);
}

/** Proves that `call` throws, and returns what it threw. */
export async function proveRefused(what, call) {
  let answer;
  try {
    answer = await call();
  } catch (error) {
    console.log(`ok  ${what}`);
    return error;
  }
  console.error(`DIFFERS  ${what}\n  expected an error\n  found   `, answer);
  process.exit(1);
}
