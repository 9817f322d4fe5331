// Follows the logs: puts new lines above the old ones as they are logged, until paused.
const MOST_ROWS = 500;
const RETRY_MILLISECONDS = 5_000;

let source = null;

export function start() {
  document.addEventListener("opsbook:shown", follow);
  document.addEventListener("visibilitychange", follow);
  document.addEventListener("click", clicked);
  follow();
}

/** Listen while the table is seen and not paused; begin where it ends, so that nothing between is missed. */
function follow() {
  source?.close();
  source = null;
  const table = document.querySelector("[data-log-stream]");
  if (!table || document.hidden || table.dataset.paused !== undefined) return;
  const address = new URL(table.dataset.logStream, location);
  address.searchParams.set("since", table.dataset.since);
  source = new EventSource(address);
  source.addEventListener("lines", (event) => add(table, event));
  source.addEventListener("error", refused);
}

/** The browser returns by itself after a broken connection; after a refusal, such as too many readers, we do. */
function refused({ target }) {
  if (target.readyState === EventSource.CLOSED) setTimeout(() => { if (target === source) follow(); }, RETRY_MILLISECONDS);
}

function add(table, event) {
  const template = document.createElement("template");
  template.innerHTML = event.data;
  for (const row of template.content.querySelectorAll("[data-row]")) {
    if (table.querySelector(`[data-row="${CSS.escape(row.dataset.row)}"]`)) row.remove();
  }
  const body = table.querySelector("tbody");
  body.prepend(template.content);
  for (const row of [...body.rows].slice(MOST_ROWS)) row.remove();
  table.dataset.since = event.lastEventId;
  const none = document.querySelector("[data-log-none]");
  if (none && body.rows.length) none.hidden = true;
  table.hidden = !body.rows.length;
}

function clicked(event) {
  const button = event.target.closest("[data-log-pause]");
  const table = document.querySelector("[data-log-stream]");
  if (!button || !table) return;
  const paused = table.toggleAttribute("data-paused");
  button.setAttribute("aria-pressed", String(paused));
  follow();
}
