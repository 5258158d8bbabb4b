// Drives the calls of @aws-sdk/client-pinpoint that the data plane serves.
//
// usage: node pinpoint.mjs http://127.0.0.1:PORT[/in/pinpoint/NAME]
//
// environment: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY sign; with SIGNED, a wrong
// secret must be refused; with STREAM_ARN, an event stream to it stays behind.

import {
  DeleteEventStreamCommand,
  GetEndpointCommand,
  GetEventStreamCommand,
  PinpointClient,
  PutEventsCommand,
  PutEventStreamCommand,
  UpdateEndpointCommand,
  UpdateEndpointsBatchCommand,
} from "@aws-sdk/client-pinpoint";
import { id, prove, proveRefused, url } from "./sandbox.mjs";

const TIME = "2026-01-02T03:04:05.678Z";
const ROLE = "arn:aws:iam::123456789012:role/event-streams";
const STREAM = process.env.STREAM_ARN ?? "arn:aws:kinesis:us-east-1:123456789012:stream/clicks";
const accessKeyId = process.env.AWS_ACCESS_KEY_ID ?? "tidegate";
const secretAccessKey = process.env.AWS_SECRET_ACCESS_KEY ?? "tidegate";

const connect = (secretAccessKey) =>
  new PinpointClient({
    endpoint: url,
    region: "us-east-1",
    maxAttempts: 1,
    credentials: { accessKeyId, secretAccessKey },
  });
const client = connect(secretAccessKey);
const ApplicationId = id("app").replaceAll("-", "");
const UserId = id("user");

async function streams() {
  const missing = await proveRefused("an app has no event stream at first", () =>
    client.send(new GetEventStreamCommand({ ApplicationId })),
  );
  prove("which is a NotFoundException", missing.name, "NotFoundException");
  const WriteEventStream = { DestinationStreamArn: STREAM, RoleArn: ROLE };
  const put = (await client.send(new PutEventStreamCommand({ ApplicationId, WriteEventStream }))).EventStream;
  prove("an event stream is set", [put.DestinationStreamArn, put.RoleArn], [STREAM, ROLE]);
  const read = (await client.send(new GetEventStreamCommand({ ApplicationId }))).EventStream;
  prove("and read back", read, put);
}

async function events() {
  const event = {
    EventType: "purchase",
    Timestamp: TIME,
    Attributes: { sku: "coffee" },
    Metrics: { price: 4.25 },
    Session: { Id: "s1", StartTimestamp: TIME },
  };
  const putEvents = (Events, Endpoint = {}) =>
    client.send(new PutEventsCommand({ ApplicationId, EventsRequest: { BatchItem: { phone: { Endpoint, Events } } } }));

  const endpoint = { ChannelType: "APNS", Address: "token-1", User: { UserId } };
  const answer = await putEvents({ good: event, bad: { ...event, Timestamp: "soon" } }, endpoint);
  prove("PutEvents answers 202", answer.$metadata.httpStatusCode, 202);
  const { EndpointItemResponse, EventsItemResponse } = answer.EventsResponse.Results.phone;
  prove("the endpoint is accepted", EndpointItemResponse, { StatusCode: 202, Message: "Accepted" });
  prove("so is the good event", EventsItemResponse.good.StatusCode, 202);
  prove("the bad one has its own status code", EventsItemResponse.bad.StatusCode, 400);

  const many = Object.fromEntries(Array.from({ length: 101 }, (_, number) => [`e${number}`, event]));
  const tooMany = await proveRefused("101 events are refused", () => putEvents(many));
  prove("as a BadRequestException", [tooMany.name, tooMany.$metadata.httpStatusCode], ["BadRequestException", 400]);
  prove("with a request id", Boolean(tooMany.RequestID));
}

async function endpoints() {
  const get = async (EndpointId) =>
    (await client.send(new GetEndpointCommand({ ApplicationId, EndpointId }))).EndpointResponse;
  const phone = await get("phone");
  prove("PutEvents left an endpoint", [phone.Address, phone.User.UserId], ["token-1", UserId]);
  const EndpointRequest = { ChannelType: "EMAIL", Address: "a@example.com", User: { UserId } };
  const update = new UpdateEndpointCommand({ ApplicationId, EndpointId: "a b/ü", EndpointRequest });
  prove("UpdateEndpoint answers with a message", (await client.send(update)).MessageBody.Message, "Accepted");
  const EndpointBatchRequest = { Item: [{ Id: "a b/ü", OptOut: "ALL", Metrics: { visits: 2.5 } }] };
  await client.send(new UpdateEndpointsBatchCommand({ ApplicationId, EndpointBatchRequest }));
  const email = await get("a b/ü");
  prove("a batch adds to it", [email.Address, email.OptOut, email.Metrics], ["a@example.com", "ALL", { visits: 2.5 }]);
}

async function signatures() {
  const stranger = connect("wrong");
  const refused = await proveRefused("a wrong secret is refused", () =>
    stranger.send(new GetEventStreamCommand({ ApplicationId })),
  );
  prove("with a 403", [refused.name, refused.$metadata.httpStatusCode], ["InvalidSignatureException", 403]);
}

await streams();
await events();
await endpoints();
if (process.env.SIGNED) await signatures();
if (!process.env.STREAM_ARN) {
  const gone = await client.send(new DeleteEventStreamCommand({ ApplicationId }));
  prove("a deleted event stream comes back once more", gone.EventStream.ApplicationId, ApplicationId);
}
console.log(`app ${ApplicationId}`);
