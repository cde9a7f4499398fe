"use strict";

// Keeps the pages of a member in touch with the server: news, the end of the session, and a warning before it.
// Every page works without this file. One poll a browser is enough: the tab that holds the lock polls, and tells
// the others.

const POLL_SECONDS = 25;
const POLL_GRACE_SECONDS = 10;  // after sleep a connection may be dead without knowing it
const LONGEST_DELAY_SECONDS = 30;
const WARN_SECONDS = { least: 20, most: 120 };  // WCAG 2.2.1: at least 20 seconds to answer
const SPEAK_EVERY_SECONDS = 20;
const SLEPT_SECONDS = 90;  // in a tab out of sight a second may take a minute, but not longer

const page = document.body.dataset;
const channel = new BroadcastChannel("latchkey-live");
const clockOffset = Date.parse(page.serverTime) - Date.now();
const warning = document.getElementById("live-warning");
let expiresAt = Date.parse(page.expiresAt), endsAt = Date.parse(page.endsAt);
let wasActive = false, hasEnded = false, newest = 0;
let hurry = () => {};  // ends the pause between two polls early
let underWay = new AbortController();  // the poll

const secondsLeft = () => (expiresAt - Date.now() - clockOffset) / 1000;
const warnSeconds = Math.min(WARN_SECONDS.most, Math.max(WARN_SECONDS.least, secondsLeft() / 5));

// What happened, in every tab alike.

const messages = {
  signed_in: ({ device }) => `New sign-in to your account: ${device || "an unknown device"}.`,
  session_revoked: ({ device }) => `Signed out: ${device || "an unknown device"}.`,
  sessions_revoked: () => "All other devices were signed out.",
  password_changed: () => "Your password was changed.",
};

function receive(message) {
  if (hasEnded) return;
  if (message.user && message.user !== page.user) return showEnd();  // somebody else signed in, in another tab
  if (message.isActive) wasActive = true;
  if (message.endsAt) endsAt = Date.parse(message.endsAt);
  if (message.expiresAt) extend(Date.parse(message.expiresAt));
  if (message.cursor != null) sessionStorage.setItem("live", JSON.stringify([page.user, message.cursor]));
  for (const event of message.events ?? []) {
    if (event.seq > newest) show(event);  // without locks two tabs hear of it, and each tells the other
    newest = Math.max(newest, event.seq);
  }
  if (message.isEnded) check();
}

function tell(message) {
  channel.postMessage(message);
  receive(message);
}

function show({ type, at, data }) {
  if (!Object.hasOwn(messages, type) || isKnown(at, data)) return;
  const text = messages[type](data ?? {});
  const notice = document.createElement("p");
  notice.className = "notice";
  notice.textContent = text;
  document.getElementById("live-notices").append(notice);
  const list = document.getElementById("live-events");
  if (!list) return;
  const item = document.createElement("li");
  item.textContent = `${new Date(at).toLocaleTimeString("en-GB")}: ${text}`;
  list.querySelector("ul").prepend(item);
  list.hidden = false;
}

// The page that comes after one's own deed has told it already; other tabs of the same browser have not.
function isKnown(at, data) {
  return data?.by === page.session && Date.parse(at) <= Date.parse(page.serverTime);
}

function extend(moment) {
  expiresAt = moment;
  if (secondsLeft() > warnSeconds) warning.close();
  tick();
}

// The poll.

async function ask(wait, touch, asking = new AbortController()) {
  const query = new URLSearchParams({ wait, touch });
  const [user, cursor] = JSON.parse(sessionStorage.getItem("live") ?? "[]");
  if (user === page.user) query.set("after", cursor);
  setTimeout(() => asking.abort(), (wait + POLL_GRACE_SECONDS) * 1000);
  return fetch(`/api/events?${query}`, {
    signal: asking.signal,
    headers: { Accept: "application/json" },
    cache: "no-store",  // or the same request of another tab is held back until ours is answered
  });
}

async function poll() {
  let failures = 0;
  while (!hasEnded) {
    const touch = wasActive ? 1 : 0;
    wasActive = false;
    try {
      underWay = new AbortController();
      const answer = await ask(POLL_SECONDS, touch, underWay);
      const retryAfter = Number(answer.headers.get("Retry-After"));
      if (answer.status === 401) tell({ isEnded: true });  // every tab asks for itself; if one cannot, we go on
      if (answer.status === 429) { await untilLookedAt(); continue; }
      if (!answer.ok) throw new Error(answer.status);
      const { events, cursor, expires_at } = await answer.json();
      failures = 0;
      tell({ events, cursor, expiresAt: expires_at });
      if (retryAfter) await pause(retryAfter);
    } catch {  // the network, or a server that starts again
      wasActive ||= touch === 1;
      await pause(Math.min(LONGEST_DELAY_SECONDS, 2 ** failures++) * (0.5 + Math.random() / 2));
    }
  }
}

function pause(seconds) {
  return new Promise((resolve) => {
    hurry = resolve;
    setTimeout(resolve, seconds * 1000);
  });
}

// Somebody else's poll took the place of ours. Fighting for it would never end: the tab in use may have it.
function untilLookedAt() {
  return new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
}

// The end, and the warning before it. The server's clock counts, and the server is asked before anything is said.

async function check() {
  try {
    const answer = await ask(0, 0);
    if (answer.status === 401) return showEnd();
    if (answer.ok) extend(Date.parse((await answer.json()).expires_at) || expiresAt);
  } catch { /* offline: the next tick asks again */ }
}

function showEnd() {
  hasEnded = true;
  underWay.abort();
  warning.close();
  const box = document.getElementById("live-ended");
  const why = secondsLeft() > 1 ? box.dataset.elsewhere : box.dataset.idle;
  box.querySelector("p").textContent = why;
  const target = location.pathname + location.search;
  box.querySelector("a").href = `/login?${new URLSearchParams({ next: target })}`;
  box.hidden = false;
}

let isChecking = false, wasDismissed = false, lastSpoken = Infinity, lastTick = Date.now();

async function tick() {
  if (Date.now() - lastTick > SLEPT_SECONDS * 1000) underWay.abort();  // its connection may be dead
  lastTick = Date.now();
  const left = secondsLeft();
  const shown = document.getElementById("live-left");
  if (shown) shown.textContent = hasEnded ? "This session has ended." : `${duration(left)} left. Each visit moves this on.`;
  if (hasEnded || left > warnSeconds || isChecking) return;
  if (left <= 0 || !(warning.open || wasDismissed)) {
    isChecking = true;
    await check();  // another tab or device may have kept the session alive
    if (left <= 0) await new Promise((resolve) => setTimeout(resolve, 2000));
    isChecking = false;
    if (hasEnded || secondsLeft() > warnSeconds) return;
    if (!warning.open && !wasDismissed) warn();
  }
  if (warning.open) countDown();
}

function warn() {
  const isLast = expiresAt >= endsAt - 1000;
  for (const text of warning.querySelectorAll("[data-idle]")) text.hidden = isLast;
  for (const text of warning.querySelectorAll("[data-last]")) text.hidden = !isLast;
  lastSpoken = Infinity;
  warning.showModal();
}

function countDown() {
  const left = Math.max(0, secondsLeft());
  warning.querySelector("[data-countdown]").textContent = duration(left);
  // A screen reader hears it now and then, not every second.
  if (lastSpoken - left < SPEAK_EVERY_SECONDS) return;
  lastSpoken = left;
  warning.querySelector("[role=alert]").textContent = `You will be signed out in ${duration(left)}.`;
}

function duration(seconds) {
  const count = seconds >= 60 ? Math.floor(seconds / 60) : Math.max(0, Math.ceil(seconds));
  const unit = seconds >= 60 ? "minute" : "second";
  return `${count} ${unit}${count === 1 ? "" : "s"}`;
}

async function stay() {
  if (hasEnded) return;
  try {
    const answer = await fetch("/api/session", { signal: AbortSignal.timeout(POLL_GRACE_SECONDS * 1000) });
    const session = await answer.json();
    if (answer.ok && !session.authenticated) return showEnd();
    if (answer.ok) tell({ expiresAt: session.expires_at, endsAt: session.ends_at });
  } catch { /* offline: the warning comes again */ }
  // At its longest time a session cannot be extended; one warning of that is enough.
  wasDismissed = expiresAt >= endsAt - 1000;
}

warning.addEventListener("close", () => { if (secondsLeft() <= warnSeconds) stay(); });
channel.addEventListener("message", ({ data }) => receive(data));

let lastActivity = 0;
for (const name of ["pointerdown", "keydown", "wheel"]) {
  addEventListener(name, () => {
    if (Date.now() - lastActivity < 5000) return;
    lastActivity = Date.now();
    tell({ isActive: true });
  }, { passive: true });
}
for (const [target, name] of [[window, "online"], [document, "visibilitychange"]]) {
  target.addEventListener(name, () => { hurry(); tick(); });
}

tell({ user: page.user });
setInterval(tick, 1000);
tick();
if (navigator.locks) navigator.locks.request("latchkey-live", poll);
else poll();  // plain http from another machine has no locks: every tab polls, and gives way when told so
