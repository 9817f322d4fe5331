// The shop under Node, with the real SDK.
import * as Sentry from "@sentry/node";
import { charge } from "./app";

Sentry.init({ dsn: process.env.SENTRY_DSN, release: "worker@1.0" });
try {
  charge({ total: 1 });
} catch (error) {
  Sentry.captureException(error);
}
void Sentry.flush(10_000);
