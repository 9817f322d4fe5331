// The shop as a page of another origin: the real browser SDK, and an error that nobody catches.
import * as Sentry from "@sentry/browser";
import "./app";

Sentry.init({ dsn: new URLSearchParams(location.search).get("dsn") ?? undefined });
Sentry.setUser({ id: "42" });

document.title = "ready";
document.body.addEventListener("click", () => globalThis.charge({ total: 1 }));
