// Replaces parts of the page by what the server renders now, keeping focus, open details and unsaved fields.
import { update as updateTimes } from "./times.js";

const PATIENCE_MILLISECONDS = 5000;

/** The document behind an address, and the address it ended at. Throws when the server does not answer in time. */
export async function load(url, options = {}) {
  const response = await fetch(url, { signal: AbortSignal.timeout(PATIENCE_MILLISECONDS), ...options });
  const html = await response.text();
  return { response, page: new DOMParser().parseFromString(html, "text/html") };
}

/** Put the fresh version of one element in its place; gives false where the person is busy inside it. */
export function replace(old, fresh) {
  if (isBusy(old)) return false;
  const focus = focusWithin(old);
  for (const details of old.querySelectorAll("details[open][id]")) {
    fresh.querySelector(`#${CSS.escape(details.id)}`)?.setAttribute("open", "");
  }
  const before = new Map([...old.querySelectorAll("[data-row]")].map((row) => [row.dataset.row, row.dataset.revision]));
  for (const row of fresh.querySelectorAll("[data-row][data-revision]")) {
    if (before.get(row.dataset.row) !== row.dataset.revision) row.classList.add("fresh");
  }
  old.replaceWith(fresh);
  if (focus) document.querySelector(focus)?.focus({ preventScroll: true });
  updateTimes();
  return true;
}

/** Replace the whole content by another page's, as following a link would, without losing the place. */
export function show(page, url) {
  const main = page.querySelector("main");
  if (!main || !document.querySelector(".side")) return location.assign(url);
  const focus = focusWithin(document.querySelector("main"));
  document.querySelector("main").replaceWith(main);
  document.title = page.title;
  history.replaceState(null, "", url);
  if (focus) document.querySelector(focus)?.focus({ preventScroll: true });
  updateTimes();
  document.dispatchEvent(new Event("opsbook:shown"));
}

export function toast(text) {
  const place = document.querySelector("[data-toast]");
  place.textContent = text;
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => { place.textContent = ""; }, 4000);
}

/** Whether an element takes typed text or a choice, which a replacement would swallow. */
export function isField(element) {
  return element.matches?.("input:not([type=checkbox], [type=radio], [type=range]), textarea, select");
}

/** Busy from the moment a field has the caret, not only from the first letter: that letter would be lost. */
function isBusy(element) {
  const focus = document.activeElement;
  return (element.contains(focus) && isField(focus))
    || [...element.querySelectorAll("input, textarea, select")].some((field) => field.dataset.edited);
}

function focusWithin(element) {
  const focus = document.activeElement;
  return element.contains(focus) && focus.id ? `#${CSS.escape(focus.id)}` : null;
}
