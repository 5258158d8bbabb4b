// Amplify's own client of Pinpoint, changed as the guide says: `endpointResolver` returns the address of
// Tidegate. The change is made while the file is loaded, as a bundler makes it.
//
// usage: node amplify.mjs http://127.0.0.1:PORT

import { register } from "node:module";
import { id, prove, url } from "./sandbox.mjs";

const change = `
export async function load(address, context, next) {
  const loaded = await next(address, context);
  if (!address.endsWith("awsClients/pinpoint/base.mjs")) return loaded;
  const source = String(loaded.source);
  const changed = source.replace(/const endpointResolver = [^;]*;/, ${JSON.stringify(
    `const endpointResolver = () => ({ url: new AmplifyUrl(${JSON.stringify(url)}) });`,
  )});
  if (changed === source) throw new Error("endpointResolver is no longer where the guide says");
  return { ...loaded, source: changed };
}`;
register(`data:text/javascript,${encodeURIComponent(change)}`);
const { putEvents, updateEndpoint } = await import("@aws-amplify/core/internals/aws-clients/pinpoint");

// As Cognito gives them: keys for an hour, with a session token.
const credentials = {
  accessKeyId: "ASIAEXAMPLE",
  secretAccessKey: "a-key-of-cognito",
  sessionToken: "a-token-of-cognito",
};
const config = { credentials, region: "us-east-1", retryDecider: async () => ({ retryable: false }) };
const ApplicationId = id("app").replaceAll("-", "");
const endpoint = id("endpoint");

await updateEndpoint(config, {
  ApplicationId,
  EndpointId: endpoint,
  EndpointRequest: { ChannelType: "EMAIL", Address: "a@example.com", User: { UserId: id("user") } },
});
prove("an endpoint is updated", true);

const event = {
  Attributes: { page: "home" },
  EventType: "_session.start",
  Timestamp: new Date().toISOString(),
  Session: { Id: id("session"), StartTimestamp: new Date().toISOString() },
};
const events = [id("first"), id("second")];
const { EventsResponse } = await putEvents(config, {
  ApplicationId,
  EventsRequest: {
    BatchItem: { [endpoint]: { Endpoint: {}, Events: Object.fromEntries(events.map((name) => [name, event])) } },
  },
});
const { EndpointItemResponse, EventsItemResponse } = EventsResponse.Results[endpoint];
prove("the endpoint of a batch is accepted", EndpointItemResponse.StatusCode, 202);
for (const name of events) prove("an event is accepted", EventsItemResponse[name].StatusCode, 202);
