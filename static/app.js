"use strict";

// Every page works without this file. It adds three comforts.

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
