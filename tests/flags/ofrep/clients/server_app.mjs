// An app on OpenFeature's server SDK for Node, which knows nothing of Opsbook but an address and a token.
// Prints one JSON line with what it asked once, and one more each time the followed flag's value changes.
import { OFREPProvider } from "@openfeature/ofrep-provider";
import { OpenFeature } from "@openfeature/server-sdk";

const [baseUrl, token] = process.argv.slice(2);
const headers = [["Authorization", `Bearer ${token}`]];
await OpenFeature.setProviderAndWait(new OFREPProvider({ baseUrl, headers }));
const client = OpenFeature.getClient();
const somebody = { targetingKey: "user-1", plan: "pro" };

console.log(
  JSON.stringify({
    targeted: await client.getBooleanDetails("targeted", false, somebody),
    text: await client.getStringDetails("text", "red", somebody),
    number: await client.getNumberDetails("number", 1, somebody),
    object: await client.getObjectDetails("object", {}, somebody),
    missing: await client.getBooleanDetails("missing", true, somebody),
    keyless: await client.getBooleanDetails("half", true, {}),
    mistaken: await client.getStringDetails("targeted", "red", somebody),
  }),
);

let last;
for (;;) {
  const followed = await client.getBooleanValue("followed", false, somebody);
  if (followed !== last) {
    last = followed;
    console.log(JSON.stringify({ followed }));
  }
  await new Promise((resolve) => setTimeout(resolve, 20));
}
