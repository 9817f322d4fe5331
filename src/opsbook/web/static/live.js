// Follows the server's events and refreshes the parts of the page that an event concerns.
// A part names its topics: <section id="checks" data-live="health audit" data-every="2">.
import { load, replace } from "./page.js";

const GATHER_MILLISECONDS = 60;
const TOPICS = ["flags", "audit", "health", "access"];

let stale = new Set();
let timer = null;

export function start() {
  const url = document.body.dataset.liveUrl;
  if (!url) return;
  const source = new EventSource(url);
  for (const topic of TOPICS) source.addEventListener(topic, (event) => changed(topic, event.data));
  source.addEventListener("signed-out", () => location.reload());
  source.addEventListener("error", () => { document.body.dataset.silent = ""; });
  source.addEventListener("open", () => { delete document.body.dataset.silent; });
  setInterval(tick, 1000);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) TOPICS.forEach((topic) => changed(topic)); });
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
    if (fresh && part.isConnected) replace(part, fresh);
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
