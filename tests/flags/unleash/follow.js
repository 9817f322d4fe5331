// A plain Unleash app: prints a line whenever what a flag is for user-1 has changed. Run from the project's root.
const { initialize } = require("unleash-client");
const [, , url, token, name, mode] = process.argv;

const unleash = initialize({
  url,
  appName: "node-app",
  refreshInterval: 200,
  metricsInterval: 500,
  customHeaders: { Authorization: token },
  storageProvider: { get: async () => undefined, set: async () => undefined },
  experimentalMode: { type: mode },
});

let last = "";
const look = () => {
  const context = { userId: "user-1", properties: { plan: "pro" } };
  const variant = unleash.getVariant(name, context);
  const now = JSON.stringify({
    enabled: unleash.isEnabled(name, context),
    variant: variant.name,
    payload: variant.payload,
  });
  if (now !== last) console.log((last = now));
};

unleash.on("error", (error) => console.error(String(error)));
unleash.on("warn", (warning) => console.error(String(warning)));
unleash.on("ready", () => setInterval(look, 10));
