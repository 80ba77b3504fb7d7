// One MQTT.js client that hears itself at every QoS: echo.mjs URL CA_FILE. Ends with 0 when it has.
import { readFileSync } from "node:fs";
import mqtt from "mqtt";

const [url, authority] = process.argv.slice(2);
const topic = `echo/js/${new URL(url).protocol}`;
const texts = [0, 1, 2].map((qos) => `qos ${qos} ${"x".repeat(70_000 * qos)}`);
const heard = new Set();
const client = mqtt.connect(url, { protocolVersion: 5, reconnectPeriod: 0, ca: readFileSync(authority), family: 4 });
const fail = (error) => {
  console.error(String(error));
  process.exit(1);
};
setTimeout(() => fail(`heard only ${heard.size}`), 30_000);
client.on("error", fail);
client.on("message", (_, payload) => {
  heard.add(payload.toString());
  if (texts.every((text) => heard.has(text))) client.end(false, {}, () => process.exit(0));
});
client.on("connect", async () => {
  try {
    await client.subscribeAsync(topic, { qos: 2 });
    await Promise.all(texts.map((text, qos) => client.publishAsync(topic, text, { qos })));
  } catch (error) {
    fail(error);
  }
});
