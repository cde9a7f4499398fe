// A program that keeps the cookie itself. `node axios.mjs http://127.0.0.1:8000`; it fails if a promise does not hold.

import assert from "node:assert/strict";

import axios from "axios";
import { CookieJar } from "tough-cookie";

const site = process.argv[2];
const ann = { email: "ann@example.com", password: "correct horse battery staple" };

function client() {
  const jar = new CookieJar();
  const made = axios.create({ baseURL: site, validateStatus: null });
  made.interceptors.request.use(async (request) => {
    request.headers.set("Cookie", await jar.getCookieString(axios.getUri(request)));
    return request;
  });
  made.interceptors.response.use(async (response) => {
    for (const line of response.headers["set-cookie"] ?? []) {
      await jar.setCookie(line, axios.getUri(response.config));
    }
    return response;
  });
  return made;
}

const program = client();

const before = await program.get("/api/session");
assert.equal(before.status, 200);
assert.equal(before.data.authenticated, false);

const made = await program.post("/api/users", ann);
assert.equal(made.status, 201);
assert.equal(made.data.user.email, ann.email);

const signedIn = await program.get("/api/session");
assert.deepEqual(signedIn.data.user, made.data.user);
assert.ok(new Date(signedIn.data.expires_at) > new Date(signedIn.data.server_time));

// The cookie is the only thing that counts: another program with none is nobody.
assert.equal((await client().get("/api/session")).data.authenticated, false);

const out = await program.delete("/api/session");
assert.equal(out.status, 204);
assert.equal((await program.get("/api/session")).data.authenticated, false);

const back = await program.post("/api/session", { ...ann, remember: true });
assert.equal(back.status, 201);
assert.match(back.headers["set-cookie"].join(), /Max-Age=2592000/);

// Errors have a code for programs.
const refused = [
  [await program.post("/api/session", { ...ann, password: "wrong" }), 401, "invalid_credentials"],
  [await program.post("/api/users", ann), 409, "email_taken"],
  [await program.post("/api/users", { ...ann, email: "no address" }), 422, "invalid_input"],
  [await program.post("/api/session", { email: { $ne: null }, password: "x" }), 422, "invalid_input"],
  // axios sends a URLSearchParams as a form.
  [await program.post("/api/session", new URLSearchParams(ann)), 415, "unsupported_media_type"],
  [await program.put("/api/session", ann), 405, "method_not_allowed"],
  [await program.get("/api/nothing"), 404, "not_found"],
];
for (const [answer, status, code] of refused) {
  assert.equal(answer.status, status);
  assert.equal(answer.data.code, code);
  assert.equal(answer.headers["content-type"], "application/problem+json");
}
