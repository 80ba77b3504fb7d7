// One MQTT.js client that hears itself at every QoS: echo.mjs URL CA_FILE. Ends with 0 when it has. MQTT_USER and MQTT_PASSWORD
// are its credentials; with MQTT_METHOD=SCRAM-SHA-256 or JWT it proves them by AUTH.
import { createHash, createHmac, pbkdf2Sync, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import mqtt from "mqtt";

const [url, authority] = process.argv.slice(2);
const topic = `echo/js/${new URL(url).protocol}`;
const texts = [0, 1, 2].map((qos) => `qos ${qos} ${"x".repeat(70_000 * qos)}`);
const heard = new Set();
const { MQTT_USER: username, MQTT_PASSWORD: password, MQTT_METHOD: authenticationMethod } = process.env;
const hmac = (key, text) => createHmac("sha256", key).update(text).digest();

// RFC 5802 §3.
const first = `n=${username},r=${randomBytes(18).toString("base64")}`;
const answer = (challenge) => {
  const [nonce, salt, count] = challenge.split(",").map((part) => part.slice(2));
  const salted = pbkdf2Sync(password, Buffer.from(salt, "base64"), Number(count), 32, "sha256");
  const message = `${first},${challenge},c=biws,r=${nonce}`;
  const key = hmac(salted, "Client Key");
  const signature = hmac(createHash("sha256").update(key).digest(), message);
  const proof = Buffer.from(key.map((byte, at) => byte ^ signature[at])).toString("base64");
  return Buffer.from(`c=biws,r=${nonce},p=${proof}`);
};

const options = { protocolVersion: 5, reconnectPeriod: 0, ca: readFileSync(authority), family: 4 };
if (authenticationMethod) {
  const authenticationData = Buffer.from(authenticationMethod === "JWT" ? password : `n,,${first}`);
  options.properties = { authenticationMethod, authenticationData };
} else if (password !== undefined) {
  Object.assign(options, { username, password });
}
const client = mqtt.connect(url, options);
client.handleAuth = (packet, done) => {
  const authenticationData = answer(packet.properties.authenticationData.toString());
  done(undefined, { cmd: "auth", reasonCode: 0x18, properties: { authenticationMethod, authenticationData } });
};
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
