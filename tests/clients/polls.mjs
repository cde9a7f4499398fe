// Runs an example of a page as it stands, after signing in. `node polls.mjs http://127.0.0.1:8000 "let after; …"`.

import axios from "axios";

const [site, example] = process.argv.slice(2);
const ann = { email: "ann@example.com", password: "correct horse battery staple" };
const signedIn = await axios.post(`${site}/api/session`, ann);
axios.defaults.baseURL = site;
axios.defaults.headers.common.Cookie = signedIn.headers["set-cookie"].map((line) => line.split(";")[0]).join("; ");

const AsyncFunction = (async () => {}).constructor;
await new AsyncFunction("axios", example)(axios);
