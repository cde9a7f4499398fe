// The peer: Express with express-session on connect-mongo, as their documentation sets them up.
// PORT, MONGODB_URI, TOUCH_AFTER (seconds; empty: connect-mongo's default) come from the environment.
"use strict";

const { MongoStore } = require("connect-mongo");
const express = require("express");
const session = require("express-session");

const touchAfter = Number(process.env.TOUCH_AFTER || 0);
const app = express();

app.use(session({
  secret: "a secret for benchmarks, forty characters",
  resave: false,
  saveUninitialized: false,
  cookie: { maxAge: 604_800_000 },
  store: MongoStore.create({ mongoUrl: process.env.MONGODB_URI, dbName: `express_${touchAfter}`, touchAfter }),
}));

app.post("/sign-in/:number", (request, response) => {
  request.session.user = { id: request.params.number.padStart(32, "0"), email: `user${request.params.number}@example.com` };
  request.session.csrf = "c".repeat(64);
  response.sendStatus(204);
});

app.get("/api/session", (request, response) => {
  const { user, csrf, cookie } = request.session;
  response.json({
    authenticated: user !== undefined,
    user: user ?? null,
    csrf_token: csrf,
    expires_at: cookie.expires.toISOString(),
    ends_at: cookie.expires.toISOString(),
    server_time: new Date().toISOString(),
  });
});

const server = app.listen(Number(process.env.PORT), "127.0.0.1", () => console.log("ready"));
process.on("SIGTERM", () => { server.closeAllConnections(); process.exit(0); });
