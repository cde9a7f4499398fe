"use strict";

// Every page works without this file. It adds four comforts.

// 1. A password can be shown while it is typed. It is never sent or kept as a plain text field.
for (const button of document.querySelectorAll(".reveal button")) {
  const input = document.getElementById(button.getAttribute("aria-controls"));

  const show = (visible) => {
    input.type = visible ? "text" : "password";
    button.textContent = visible ? "Hide" : "Show";
    button.setAttribute("aria-label", `${button.textContent} password`);
  };

  button.addEventListener("click", () => show(input.type === "password"));
  input.form.addEventListener("submit", () => show(false));
  button.hidden = false;
}

// 2. After a refused form, reading starts at the list of what went wrong.
document.querySelector(".problem")?.focus();

// 3. Times are told in the reader's own time zone instead of UTC.
const local = new Intl.DateTimeFormat("en-GB", {
  day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", timeZoneName: "short",
});
for (const time of document.querySelectorAll("time[datetime]")) {
  time.textContent = local.format(new Date(time.dateTime));
}

// 4. How long ago somebody was active is told in words, by the server's clock.
const ago = new Intl.RelativeTimeFormat("en-GB", { numeric: "auto" });
const units = [["day", 86400], ["hour", 3600], ["minute", 60]];
for (const words of document.querySelectorAll("[data-ago]")) {
  const time = words.parentElement.querySelector("time");
  const seconds = (Date.parse(document.body.dataset.serverTime) - Date.parse(time.dateTime)) / 1000;
  const [unit, length] = units.find(([, length]) => seconds >= length) ?? [];
  words.textContent = unit ? ago.format(-Math.floor(seconds / length), unit) : "just now";
  words.hidden = false;
}
