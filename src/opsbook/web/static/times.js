// Keeps "3 min ago" true while the page stands, and adds the local time to the hover text.
const STEPS = [[31536000, "y"], [2592000, "mo"], [86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];

export function start() {
  update();
  setInterval(update, 1000);
}

export function update() {
  for (const time of document.querySelectorAll("time[data-ago]")) {
    const moment = new Date(time.dateTime);
    const text = distance((Date.now() - moment) / 1000);
    if (time.textContent !== text) time.textContent = text;
    if (!time.dataset.local) {
      time.dataset.local = "true";
      time.title += ` · ${moment.toLocaleString()} local`;
    }
  }
}

function distance(seconds) {
  const size = Math.abs(seconds);
  if (size < 1) return "just now";
  const [length, unit] = STEPS.find(([length]) => size >= length);
  const amount = `${Math.floor(size / length)} ${unit}`;
  return seconds >= 0 ? `${amount} ago` : `in ${amount}`;
}
