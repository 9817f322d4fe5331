// Forms without a page load, sliders with numbers, filters that act while typed, copying, confirmations, the theme.
import { load, show, toast } from "./page.js";

const TYPING_MILLISECONDS = 200;

export function start() {
  document.addEventListener("submit", submitted);
  document.addEventListener("input", edited);
  document.addEventListener("change", chosen);
  document.addEventListener("click", clicked);
}

async function submitted(event) {
  const form = event.target;
  if (form.matches("[data-swap]")) {
    event.preventDefault();
    await swap(form, event.submitter);
  }
}

/** Send a form and show the page that answers it in place, so that scroll and focus stay. */
async function swap(form, submitter) {
  const data = new URLSearchParams(new FormData(form, submitter));
  const get = form.method === "get";
  for (const [name, value] of [...data]) if (get && !value) data.delete(name);
  const url = get ? `${form.getAttribute("action") || location.pathname}?${data}` : form.action;
  try {
    const { response, page } = await load(url, get ? {} : { method: "POST", body: data });
    const address = new URL(response.url);
    document.querySelector("[data-confirm]")?.close();
    show(page, get || response.redirected ? address.pathname + address.search : location.href);
    const said = document.querySelector("main .notice p");
    if (said && !get) toast(said.textContent);
  } catch {
    toast("The server did not answer. Nothing is known to have changed; try again.");
  }
}

function edited(event) {
  const field = event.target;
  if (field.dataset.mirror) {
    for (const other of document.querySelectorAll(`[data-mirror="${field.dataset.mirror}"]`)) {
      if (other !== field) other.value = field.value;
    }
  }
  const form = field.form;
  if (form?.matches("[data-filter]")) {
    clearTimeout(form.typing);
    form.typing = setTimeout(() => form.requestSubmit(), TYPING_MILLISECONDS);
  } else if (field.name || field.dataset.mirror) {
    field.dataset.edited = "true";
  }
}

function chosen(event) {
  if (event.target.form?.matches("[data-filter]")) event.target.form.requestSubmit();
}

async function clicked(event) {
  const copy = event.target.closest("[data-copy]");
  if (copy) return navigator.clipboard.writeText(copy.dataset.copy).then(() => toast("Copied"));
  const theme = event.target.closest("[data-theme-toggle]");
  if (theme) return toggleTheme(event, theme);
  const add = event.target.closest("[data-add]");
  if (add) return addRow(event, add);
  const drop = event.target.closest("[data-drop]");
  if (drop) return dropRow(drop);
  const link = event.target.closest("a[data-dialog]");
  if (link && !event.metaKey && !event.ctrlKey) return openConfirmation(event, link);
  if (event.target.closest("[data-close]")) {
    event.preventDefault();
    document.querySelector("[data-confirm]").close();
  }
}

/** Show the confirmation that lives on a page of its own in a dialog over this one. */
async function openConfirmation(event, link) {
  event.preventDefault();
  try {
    const { page } = await load(link.href);
    const content = page.querySelector("[data-confirmation]");
    if (!content) return location.assign(link.href);
    const dialog = document.querySelector("[data-confirm]");
    dialog.replaceChildren(content);
    dialog.showModal();
  } catch {
    location.assign(link.href);
  }
}

/** One more row like the last, empty; without scripts the button asks the server for it. */
function addRow(event, button) {
  event.preventDefault();
  const last = [...button.closest(".rows").querySelectorAll("[data-clone]")].at(-1);
  const row = last.cloneNode(true);
  empty(row);
  last.after(row);
  row.querySelector("input").focus();
}

/** Take a row out; the only one is emptied, since the next is made after it. */
function dropRow(button) {
  const row = button.closest("[data-clone]");
  const rows = [...row.parentElement.querySelectorAll("[data-clone]")];
  if (rows.length === 1) return empty(row);
  const next = rows[rows.indexOf(row) + 1] ?? rows[rows.indexOf(row) - 1];
  row.remove();
  next.querySelector("input").focus();
}

function empty(row) {
  for (const field of row.querySelectorAll("input, textarea")) field.value = field.dataset.keep ?? "";
  for (const select of row.querySelectorAll("select")) select.selectedIndex = 0;
}

function toggleTheme(event, button) {
  event.preventDefault();
  const dark = getComputedStyle(document.documentElement).colorScheme === "dark"
    || (!document.documentElement.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);
  const theme = dark ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  document.cookie = `opsbook-theme=${theme}; path=/ops; max-age=31536000; samesite=lax`;
  button.value = dark ? "dark" : "light";
}
