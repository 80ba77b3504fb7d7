// One MQTT.js client in the conversation: chat.mjs PORT VERSION NAME COUNT. It subscribes from the beginning, says one
// thing, prints what it gets as JSON lines, and ends once it has COUNT messages (and its receipt, in MQTT 5).
import mqtt from "mqtt";

const [port, version, name, count] = process.argv.slice(2);
const v5 = version === "5";
const reply = `client/${name}/reply`;
const print = (line) => console.log(JSON.stringify(line));

const client = mqtt.connect({
  host: "127.0.0.1", port: Number(port), protocolVersion: v5 ? 5 : 4, clientId: name, username: name, reconnectPeriod: 0,
});
const deadline = setTimeout(() => fail(new Error("deadline")), 30_000);
let messages = 0;
let receipts = v5 ? 0 : 1;

function fail(error) {
  console.error(String(error));
  process.exit(1);
}

client.on("error", fail);
client.on("message", (topic, payload, packet) => {
  const user = packet.properties?.userProperties ?? {};
  if (topic === reply) {
    print({ receipt: { ...user }, correlation: packet.properties.correlationData.toString() });
    receipts += 1;
  } else {
    print({ message: payload.toString(), retain: packet.retain, ...user });
    messages += 1;
  }
  if (messages >= Number(count) && receipts >= 1) {
    clearTimeout(deadline);
    client.end(false, {}, () => process.exit(0));
  }
});

client.on("connect", async () => {
  try {
    if (v5) {
      await client.subscribeAsync(reply, { qos: 1 });
      await client.subscribeAsync("chat/lobby/msg", { qos: 1, properties: { userProperties: { since: "0" } } });
    } else {
      await client.subscribeAsync("$since/0/chat/lobby/msg", { qos: 1 });
    }
    const properties = v5
      ? { userProperties: { id: `${name}-1` }, responseTopic: reply, correlationData: Buffer.from(name) }
      : undefined;
    await client.publishAsync("chat/lobby/msg", `hello from ${name}`, { qos: 1, properties });
  } catch (error) {
    fail(error);
  }
});
