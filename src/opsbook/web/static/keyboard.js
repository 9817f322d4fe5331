// A keyboard path to everything: / and ⌘K search, g and a letter goes, j and k walk rows, ? helps.
import { isField } from "./page.js";
import { open as openPalette } from "./palette.js";

const SWITCH = "opsbook-letter-keys";
const CHORD_MILLISECONDS = 1200;

let goUntil = 0;

export function start() {
  document.addEventListener("keydown", pressed);
  const help = document.querySelector("[data-help-dialog]");
  document.querySelector("[data-help]")?.addEventListener("click", () => help.showModal());
  const letters = document.querySelector("[data-keys-switch]");
  if (!letters) return;
  letters.checked = localStorage.getItem(SWITCH) !== "off";
  letters.addEventListener("change", () => localStorage.setItem(SWITCH, letters.checked ? "on" : "off"));
}

function pressed(event) {
  if ((event.metaKey || event.ctrlKey) && event.key.toLowerCase() === "k") {
    event.preventDefault();
    return openPalette();
  }
  if (event.key === "Escape" && isField(event.target) && !event.target.closest("dialog")) return event.target.blur();
  if (event.metaKey || event.ctrlKey || event.altKey || isField(event.target) || document.querySelector("dialog[open]")) return;
  if (localStorage.getItem(SWITCH) === "off" || !act(event.key)) return;
  event.preventDefault();
}

/** Do what a key stands for; gives whether it stands for anything here. */
function act(key) {
  if (Date.now() < goUntil) {
    goUntil = 0;
    return follow(document.querySelector(`[data-go="${CSS.escape(key)}"]`));
  }
  switch (key) {
    case "g": goUntil = Date.now() + CHORD_MILLISECONDS; return true;
    case "/": openPalette(); return true;
    case "?": document.querySelector("[data-help-dialog]")?.showModal(); return true;
    case "t": return follow(document.querySelector("[data-theme-toggle]"));
    case "c": return follow(document.querySelector("[data-create]"));
    case "j": return walk(1);
    case "k": return walk(-1);
    default: return false;
  }
}

function follow(element) {
  element?.click();
  return Boolean(element);
}

/** Focus the next row's link, so that Enter opens it and Tab goes on from there. */
function walk(step) {
  const rows = [...document.querySelectorAll("main [data-row]")];
  if (!rows.length) return false;
  const here = rows.findIndex((row) => row.contains(document.activeElement));
  const row = rows[Math.min(Math.max(here + step, 0), rows.length - 1)];
  row.querySelector("a, button, summary")?.focus();
  row.scrollIntoView({ block: "nearest" });
  return true;
}
