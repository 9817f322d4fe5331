// Follows the server's events and refreshes the parts of the page that an event concerns.
// A part names its topics: <section id="checks" data-live="health audit" data-every="2">.
import { load, replace } from "./page.js";

const GATHER_MILLISECONDS = 60;
const RETRY_MILLISECONDS = 2000;
const TOPICS = ["flags", "audit", "health", "access", "error_events"];

let stale = new Set();
let timer = null;
let source = null;

export function start() {
  if (!document.body.dataset.liveUrl) return;
  document.addEventListener("visibilitychange", follow);
  document.addEventListener("focusout", left);
  setInterval(tick, 1000);
  follow();
}

/** Listen while the page is seen; a hidden one gives up its connection, of which a browser has six to a host. */
function follow() {
  source?.close();
  source = null;
  if (document.hidden) return;
  source = new EventSource(document.body.dataset.liveUrl);
  for (const topic of TOPICS) source.addEventListener(topic, (event) => changed(topic, event.data));
  source.addEventListener("signed-out", () => location.reload());
  source.addEventListener("error", refused);
  source.addEventListener("open", () => {
    delete document.body.dataset.silent;
    TOPICS.forEach((topic) => changed(topic)); // whatever changed before we listened
  });
}

/** The browser itself tries again after a lost connection, but not after a refused one. */
function refused() {
  document.body.dataset.silent = "";
  if (source?.readyState === EventSource.CLOSED) setTimeout(() => { if (!document.hidden) follow(); }, RETRY_MILLISECONDS);
}

function changed(topic, data) {
  if (topic === "health" && data) document.body.dataset.standing = data;
  stale.add(topic);
  if (!document.hidden) timer ??= setTimeout(refresh, GATHER_MILLISECONDS);
}

async function refresh() {
  const topics = stale;
  stale = new Set();
  const parts = [...document.querySelectorAll("[data-live]")].filter((part) =>
    part.dataset.live.split(" ").some((topic) => topics.has(topic)));
  try {
    await Promise.all([...Map.groupBy(parts, address)].map(([url, group]) => refreshFrom(url, group)));
  } catch {
    document.body.dataset.silent = "";
  }
  timer = stale.size ? setTimeout(refresh, GATHER_MILLISECONDS) : null;
}

async function refreshFrom(url, parts) {
  const { response, page } = await load(url);
  if (response.redirected && !new URL(response.url).pathname.startsWith(new URL(url, location).pathname)) return location.reload();
  if (!response.ok) throw new Error(`${url} answered ${response.status}`);
  delete document.body.dataset.silent;
  for (const part of parts) {
    const fresh = page.getElementById(part.id);
    if (fresh && part.isConnected && !replace(part, fresh)) part.dataset.behind = "";
  }
}

/** Catch up with what was held back while a person had the caret there. */
function left(event) {
  const part = event.target.closest?.("[data-behind]");
  if (part && !part.contains(event.relatedTarget)) {
    delete part.dataset.behind;
    setTimeout(() => refreshFrom(address(part), [part]).catch(() => { document.body.dataset.silent = ""; }));
  }
}

function tick() {
  if (document.hidden) return;
  for (const part of document.querySelectorAll("[data-live][data-every]")) {
    const due = Number(part.dataset.due ?? 0);
    if (Date.now() < due) continue;
    part.dataset.due = Date.now() + 1000 * Number(part.dataset.every);
    if (due) refreshFrom(address(part), [part]).catch(() => { document.body.dataset.silent = ""; });
  }
}

function address(part) {
  return part.dataset.source ?? location.href;
}
