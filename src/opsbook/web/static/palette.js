// ⌘K or /: one box that goes to any page, flag, limit, block or person. The results are the search page's own.
import { load } from "./page.js";

const TYPING_MILLISECONDS = 120;

let dialog, input, results, timer;
let asked = 0;

export function start() {
  dialog = document.querySelector("[data-palette]");
  if (!dialog) return;
  input = dialog.querySelector("input");
  results = dialog.querySelector("[data-palette-results]");
  input.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(ask, TYPING_MILLISECONDS); });
  input.addEventListener("keydown", moved);
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.querySelector("form").addEventListener("submit", follow);
  document.querySelector("[data-search]")?.addEventListener("click", open);
}

export function open() {
  if (!dialog || dialog.open) return;
  dialog.showModal();
  input.value = "";
  input.focus();
  ask();
}

async function ask() {
  const mine = ++asked;
  try {
    const { page } = await load(`/ops/search?${new URLSearchParams({ q: input.value })}`);
    if (mine !== asked) return;
    const found = [...page.querySelectorAll("[data-hit]")];
    found.forEach((hit, index) => { hit.id = `hit-${index}`; hit.setAttribute("role", "option"); hit.tabIndex = -1; });
    results.replaceChildren(...(found.length ? found : [...page.querySelectorAll(".hits .empty")]));
    select(found[0]);
  } catch {
    results.textContent = "The server does not answer.";
  }
}

function moved(event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const hits = [...results.querySelectorAll("[data-hit]")];
  const here = hits.findIndex((hit) => hit.ariaSelected === "true");
  select(hits[(here + step + hits.length) % hits.length]);
}

function select(hit) {
  for (const other of results.querySelectorAll("[data-hit]")) other.setAttribute("aria-selected", String(other === hit));
  hit?.scrollIntoView({ block: "nearest" });
  if (hit) input.setAttribute("aria-activedescendant", hit.id);
}

function follow(event) {
  const hit = results.querySelector('[aria-selected="true"]');
  if (!hit) return;
  event.preventDefault();
  location.assign(hit.href);
}
