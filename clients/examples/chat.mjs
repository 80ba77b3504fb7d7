// A chat client for all conversations of a user, with MQTT.js 5. README.md says what one types.
//
//     node chat.mjs HOST PORT USER PASSWORD [CURSOR]
import { randomUUID } from "node:crypto";
import { createInterface } from "node:readline";
import mqtt from "mqtt";

const [host, port, user, password, firstCursor] = process.argv.slice(2);
const clientId = `example-js-${user}-${randomUUID().slice(0, 8)}`;
const reply = `client/${clientId}/reply`;
const show = (line) => console.log(line);

let cursor = firstCursor; // Where the inbox stands; a real client stores it.
const shown = new Map(); // Of each conversation: the last entry that was shown.
const outbox = new Map(); // Messages without a receipt, by id, in their order.

const client = mqtt.connect({
  host, port: Number(port), clientId, username: user, password, protocolVersion: 5,
  clean: true, resubscribe: false, reconnectPeriod: 1000,
});

client.on("connect", async () => {
  show("connected: Success");
  try {
    await client.subscribeAsync(reply, { qos: 1 });
    await client.subscribeAsync(["chat/+/typing", "chat/+/read"], { qos: 0 });
    // Without a cursor everything there is, with it what has come since.
    const userProperties = cursor ? { cursor } : { since: "last" };
    await client.subscribeAsync("chat/+/msg", { qos: 1, properties: { userProperties } });
  } catch (error) {
    show(`refused: ${error.message}`);
    return;
  }
  // Nobody knows whether these have arrived. With the same id each of them counts once.
  for (const [id, message] of outbox) publish(id, message);
});
client.on("error", (error) => {
  show(`connected: ${error.message}`);
  if (error.code === 0x86 || error.code === 0x87) process.exit(1); // Trying again won't help.
});

function send(conversation, text) {
  const id = randomUUID();
  outbox.set(id, { conversation, text });
  if (client.connected) publish(id, outbox.get(id));
}

function publish(id, { conversation, text }) {
  const properties = { payloadFormatIndicator: true, userProperties: { id }, responseTopic: reply, correlationData: Buffer.from(id) };
  // The receipt is asked for at the Response Topic; what stands in PUBACK MQTT.js shows in event `packetreceive` only.
  client.publish(`chat/${conversation}/msg`, text, { qos: 1, properties });
}

function ask(conversation, what, payload) {
  client.publish(`chat/${conversation}/${what}`, payload, { qos: 1, properties: { responseTopic: reply } });
}

function command(conversation, fields) {
  ask(conversation, "ctl", JSON.stringify(fields));
}

client.on("message", (topic, payload, packet) => {
  const said = packet.properties?.userProperties ?? {};
  const [, conversation, what] = topic.split("/");
  const text = payload.toString();
  if (topic === reply) {
    const id = packet.properties?.correlationData?.toString();
    if (said.notice === "cursor") cursor = JSON.parse(text).cursor;
    // What was refused for a while is sent again with the next connection.
    if (id && !("retry-after" in said)) outbox.delete(id);
    show(`reply ${text}`);
    leaveWhenDone();
  } else if (what !== "msg") {
    show(`${conversation} ${what} ${text}`);
  } else if (said.kind === "gap") {
    show(`${conversation} #${said.first} to #${said.last} are gone`);
    if (said.epoch) shown.delete(conversation); // Its seqs begin anew.
  } else if (Number(said.seq) > (shown.get(conversation) ?? 0)) {
    shown.set(conversation, Number(said.seq));
    const ref = said.kind ? ` ${said.kind} #${said.ref ?? ""}` : "";
    show(`${conversation} #${said.seq} ${said.from}${ref}: ${text}`);
  }
});

// -- What one types: CONVERSATION TEXT, or /WORD CONVERSATION … --
let closing = false;
const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => {
  const [word, first, ...rest] = line.split(" ");
  if (word === "/create") command(first, { op: "create" });
  else if (word === "/add") command(first, { op: "add", user: rest[0] });
  else if (word === "/edit") command(first, { op: "edit", seq: Number(rest[0]), text: rest.slice(1).join(" ") });
  else if (word === "/read") ask(first, "read", rest[0] ?? "");
  else if (word === "/typing") client.publish(`chat/${first}/typing`, "", { qos: 0 });
  else if (word.startsWith("/")) show(`unknown: ${word}`);
  else send(word, line.slice(word.length + 1));
});
lines.on("close", () => {
  closing = true;
  leaveWhenDone();
  setTimeout(() => process.exit(1), 30_000);
});

function leaveWhenDone() {
  if (closing && outbox.size === 0) client.end(false, {}, () => process.exit(0));
}
