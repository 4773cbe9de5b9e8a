// The private port: token, requests, and what is shown when.
const EVERY = 30000, PAGE = 50;
let token = "", timer, auditsFrom = null;

// --- requests -------------------------------------------------------------------------------------------

// The body of an answer; throws an Error with the sentence of the problem document.
async function call(method, path, body, signal) {
  const headers = {Authorization: "Bearer " + token};
  if (body) headers["Content-Type"] = "application/json";
  const reply = await fetch(path, {method, headers, body: body && JSON.stringify(body), signal}).catch(error => {
    throw signal?.aborted ? error : new Error("The private port did not answer.");
  });
  const content = await reply.json().catch(() => ({detail: "The private port answered something else than JSON."}));
  if (reply.ok) return content;
  if (reply.status === 401) forget("This token is not accepted.");
  throw Object.assign(new Error(sentence(content.detail)), {kind: content.type?.split(":").at(-1)});
}

// --- token ----------------------------------------------------------------------------------------------

const parts = ["fleet", "lineup", "experiments", "alerts", "monitors", "drift", "audits"];

function showInside(inside) {
  // The fleet is shown once it is known that there is one.
  for (const id of parts) byId(id).closest("section").hidden = !inside || id === "fleet";
  for (const id of ["page", "status", "bundle"]) byId(id).hidden = !inside;
  byId("enter").hidden = inside;
}

function forget(words = "") {
  token = "";
  clearInterval(timer);
  stopAsking();
  for (const id of [...parts, "bundle", "status", "said"]) byId(id).replaceChildren();
  shown.clear();
  auditsFrom = null;
  showInside(false);
  byId("token-said").hidden = !words;
  byId("token-said").textContent = words;
  byId("token").value = "";
  byId("token").focus();
}

async function enter() {
  const given = byId("token").value.trim();
  // No other characters can be sent in a header.
  if (!/^[!-~]+$/.test(given)) return forget("A token consists of visible ASCII characters.");
  token = given;
  try {
    await call("GET", "bundles");
  } catch (problem) {
    return token && forget(problem.message);
  }
  byId("token").value = "";
  showInside(true);
  await refresh();
  timer = setInterval(() => { if (!document.hidden) refresh(); }, EVERY);
}

// --- a part of the page ---------------------------------------------------------------------------------

const shown = new Map();

// Show a part if what it says has changed. The control that has the focus keeps it: controls have keys.
function show(id, value, render) {
  const state = JSON.stringify(value);
  if (!token || shown.get(id) === state) return;
  shown.set(id, state);
  const part = byId(id), key = part.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  part.replaceChildren(...render(value));
  if (key) part.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus();
}

function fail(id, problem) {
  show(id, {problem: problem.message}, () => [text("p", "doubt", problem.message)]);
}

function button(key, words, onclick) {
  const made = element("button", {type: "button", textContent: words, onclick});
  made.dataset.key = key;
  return made;
}

function table(name, heads, rows) {
  const head = element("tr", {}, ...heads.map(words => element("th", {scope: "col", textContent: words})));
  const lines = rows.map(([first, ...rest]) => element("tr", {}, element("th", {scope: "row", textContent: first}), ...rest.map(cell => text("td", "", cell))));
  const made = element("table", {}, element("thead", {}, head), element("tbody", {}, ...lines));
  // It scrolls by itself where the screen is narrow, also by the keyboard.
  return element("div", {className: "scroll", tabIndex: 0, role: "region", ariaLabel: name}, made);
}

// --- audits ---------------------------------------------------------------------------------------------

function turnTo(after) {
  auditsFrom = after;
  return refreshAudits();
}

function auditParts({audits, next, from}) {
  if (!audits.length) return [text("p", "soft", from ? "No more audits wait." : "No audit waits for a label."), ...(from ? [first()] : [])];
  const rows = audits.map(one => [ageInWords(one.age_seconds), one.bundle, one.unit_id ?? "–", one.request_id]);
  const turns = [...(from ? [first()] : []), ...(next ? [button("next", "Next page", () => turnTo(next))] : [])];
  return [table("Audits", ["age", "bundle", "unit", "request id"], rows),
    text("p", "soft", "The oldest first. Their labels come through /feedback of the public port."), element("div", {className: "actions"}, ...turns)];
}

const first = () => button("first", "Back to the oldest", () => turnTo(null));

async function refreshAudits() {
  const from = auditsFrom;
  try {
    const page = await call("GET", `audits?limit=${PAGE}` + (from ? "&after=" + encodeURIComponent(from) : ""));
    show("audits", {...page, from}, auditParts);
  } catch (problem) {
    fail("audits", problem);
  }
}

// --- all of it ------------------------------------------------------------------------------------------

async function refreshLineup() {
  try {
    show("lineup", await call("GET", "bundles"), lineupParts);
  } catch (problem) {
    fail("lineup", problem);
  }
}

async function refreshFigures() {
  try {
    const [health, promise, drift] = await Promise.all(["health", "promise", "drift"].map(path => call("GET", path)));
    if (!token) return;
    byId("status").textContent = statusInWords(health);
    byId("status").className = "status " + health.status;
    byId("bundle").textContent = `${health.bundle.name} ${health.bundle.version} on ${health.engine}`;
    show("monitors", joined(health.monitors, promise.bundles), monitors => monitors.flatMap(monitorParts));
    show("drift", {said: driftSaid(health), bundles: drift.bundles}, driftParts);
  } catch (problem) {
    if (!token) return;
    byId("status").textContent = "not reached";
    byId("status").className = "status away";
    fail("monitors", problem);
    fail("drift", problem);
  }
}

async function refreshExperiments() {
  try {
    show("experiments", (await call("GET", "experiments")).experiments, experimentParts);
  } catch (problem) {
    fail("experiments", problem);
  }
}

const refresh = () => Promise.all([refreshFleet(), refreshLineup(), refreshExperiments(), refreshAlerts(), refreshFigures(), refreshAudits()]);

byId("token-form").onsubmit = event => { event.preventDefault(); enter(); };
byId("ask-form").onsubmit = confirmed;
byId("ask-cancel").onclick = stopAsking;
byId("ask").oncancel = () => asking?.running?.abort();
byId("forget").onclick = () => forget();
byId("reload").onclick = refresh;
byId("token").focus();
