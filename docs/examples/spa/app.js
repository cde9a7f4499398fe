"use strict";

const api = axios.create({
  baseURL: document.querySelector("meta[name=api]").content,
  // Without this the browser neither sends the session's cookie nor keeps the one that sign-in sets.
  withCredentials: true,
});

const state = document.getElementById("state");

// Looks who is signed in, and says so.
async function look() {
  const { data } = await api.get("/api/session");
  state.textContent = data.authenticated ? `Signed in as ${data.user.email}` : "Nobody is signed in";
  if (data.authenticated) listen();
}

const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));
let isListening = false;

// Holds a long-poll while somebody is signed in: it keeps the session alive, brings news, and learns of its end.
async function listen() {
  if (isListening) return;
  isListening = true;
  let after;
  while (isListening) {
    try {
      const { data, headers } = await api.get("/api/events", { params: { after } });
      after = data.cursor;
      for (const event of data.events) show(event);
      await pause(headers["retry-after"] ?? 0);
    } catch (error) {
      if (error.response?.status === 401) isListening = false;
      else await pause(error.response?.headers["retry-after"] ?? 5);  // the network, or too many polls
    }
  }
  await look();
}

function show({ type, at }) {
  const item = document.createElement("li");
  item.textContent = `${new Date(at).toLocaleTimeString()}: ${type}`;
  document.getElementById("news").append(item);
}

// Does the work of a button or form; what the site refuses is told in its own words.
async function perform(work) {
  state.textContent = "";
  try {
    await work();
    await look();
  } catch (error) {
    // No response at all: the site is away, or does not trust this page's origin. Scripts are not told which.
    const problem = error.response?.data;
    state.textContent = problem ? `${problem.detail} (${problem.code})` : "The site gave no answer to this page.";
  }
}

document.getElementById("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  const { email, password } = event.target.elements;
  perform(() => api.post("/api/session", { email: email.value, password: password.value }));
});
document.getElementById("sign-out").addEventListener("click", () => perform(() => api.delete("/api/session")));
document.getElementById("look").addEventListener("click", () => perform(() => {}));

perform(() => {});
