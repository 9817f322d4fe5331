// Everything the console's pages do beyond plain HTML; without it they still read and pull levers.
import { start as startForms } from "./forms.js";
import { start as startKeyboard } from "./keyboard.js";
import { start as startLive } from "./live.js";
import { start as startLogs } from "./logs.js";
import { start as startPalette } from "./palette.js";
import { start as startTimes } from "./times.js";

document.documentElement.classList.add("scripting");
document.querySelector(".side [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
startTimes();
startForms();
startPalette();
startKeyboard();
startLive();
startLogs();
