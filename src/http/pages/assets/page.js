// The page is complete without this. It saves clicks, and shows what goes on.
"use strict";

// A token behind the # of an address never leaves the browser but in the form.
for (const form of document.querySelectorAll("form[data-token-from-hash]")) {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (token) {
    history.replaceState(null, "", location.pathname + location.search);
    form.elements.token.value = token;
    form.requestSubmit();
  }
}

// On a narrow screen the menu scrolls: the part that is open stands in view.
document.querySelector("nav a[aria-current=page]")?.scrollIntoView({ block: "nearest", inline: "center" });

// A box that ticks all others of its table.
for (const box of document.querySelectorAll("input[data-ticks]")) {
  box.hidden = false;
  box.addEventListener("change", () => {
    for (const other of document.querySelectorAll(`input[name="${box.dataset.ticks}"]`)) {
      other.checked = box.checked;
    }
  });
}

// A choice that shows at once what it means.
for (const field of document.querySelectorAll("[data-submits]")) {
  field.addEventListener("change", () => field.form.requestSubmit());
}

// What is still going on is looked at again.
const wait = Number(document.querySelector("[data-again-seconds]")?.dataset.againSeconds);
if (wait > 0) {
  let written = false;
  document.addEventListener("input", () => { written = true; });
  // Who has begun to write is not interrupted.
  setTimeout(() => { if (!written) location.reload(); }, wait * 1000);
}

// On a narrow screen the menu shows where one is.
const here = document.querySelector(".bar nav [aria-current]");
if (here) {
  const menu = here.parentElement;
  menu.scrollLeft = here.offsetLeft - menu.offsetLeft - (menu.clientWidth - here.clientWidth) / 2;
}

// A file that is dropped on its field.
for (const drop of document.querySelectorAll("label.drop")) {
  const input = drop.querySelector("input[type=file]");
  const name = drop.querySelector("[data-name]");
  const show = () => { name.textContent = input.files[0]?.name ?? name.dataset.name; };
  input.addEventListener("change", show);
  drop.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    input.files = event.dataTransfer.files;
    show();
  });
}

// Moments in the reader's own words.
for (const time of document.querySelectorAll("time[datetime]")) {
  const at = new Date(time.dateTime);
  if (!Number.isNaN(at.getTime())) {
    time.title = at.toLocaleString(undefined, { dateStyle: "full", timeStyle: "long" });
  }
}

// Bars say what they stand for.
for (const figure of document.querySelectorAll("figure.chart")) {
  const rows = [...figure.querySelectorAll("tbody tr")];
  const told = document.createElement("output");
  told.className = "reading";
  told.setAttribute("aria-hidden", "true");
  figure.querySelector("figcaption").append(told);
  for (const svg of figure.querySelectorAll("svg")) {
    const from = 52 / svg.viewBox.baseVal.width;
    const end = 1 - 4 / svg.viewBox.baseVal.width;
    const show = (event) => {
      const box = svg.getBoundingClientRect();
      const across = ((event.clientX - box.left) / box.width - from) / (end - from);
      const row = rows[Math.floor(across * rows.length)];
      told.textContent = row
        ? `${row.cells[0].textContent}: ${row.cells[1].textContent} attributed, ${row.cells[2].textContent} not, ${row.cells[3].textContent} went back`
        : "";
    };
    svg.addEventListener("pointermove", show);
    svg.addEventListener("pointerleave", () => { told.textContent = ""; });
  }
}
