const KEPT = 24, EVERY = 2000, MOST_BARS = 5, MOST_BUTTONS = 6;
const REASONS = {
  ambiguous: "too close to call",
  atypical: "unlike anything it was calibrated on",
  "no-promise": "this bundle may not answer at all",
  suspended: "suspended until a person resets it",
};
const items = [];
let classes = [], access = {open: true, note: ""}, token = "";

const nameOf = k => classes[k] ?? String(k);

// --- words -----------------------------------------------------------------------------------------------

function unitsInWords(population) {
  if (population === "random group, random frame") return "random frames of random groups";
  const cap = population.split("capped at ")[1];
  return cap ? `answered images (of a group at most ${cap} count)` : "answered images";
}

function guaranteeInWords(answer) {
  if (answer.decision === "abstain") return "The promise covers answers, and this is an abstention.";
  const g = answer.guarantee, atMost = `t most ${percent(g.alpha)} of the ${unitsInWords(g.population)} are answered wrongly`;
  // A challenger may have a doubt that does not stand beside the promise.
  const doubt = g.doubt && g.doubt !== byId("doubt").textContent ? " " + g.doubt : "";
  if (g.kind === "expectation") return `On average over calibration draws, a${atMost}. There is no confidence level.${doubt}`;
  if (g.kind === "pac") return `A${atMost}, with ${percent(1 - g.delta)} confidence.${doubt}`;
  return "A guarantee of an unknown kind: " + g.kind;
}

function headline(item) {
  if (item.problem) return ["problem", "refused"];
  return item.answer.decision === "answer" ? ["answer", item.answer.label_name] : ["abstain", "for a person"];
}

function reasonInWords(item) {
  if (item.problem) return item.problem.detail;
  return item.answer.reason ? REASONS[item.answer.reason] || item.answer.reason : "by stage " + item.answer.stage;
}

function briefly(item) {
  const kind = item.problem?.type?.split(":").pop();
  return kind ? kind.replaceAll("-", " ") : reasonInWords(item);
}

function decisionInWords(a) {
  if (a.decision === "answer")
    return a.stage === "A" ? "Stage A, the fast one, was confident enough to answer." : "Stage A passed it on; stage B, the strong one, was confident enough to answer.";
  if (a.reason === "no-promise") return "This bundle may not answer at all, however clear the image. A person should look.";
  if (a.reason === "suspended") return "The promise of this bundle is broken, so it answers nothing until somebody resets it. A person should look.";
  if (a.reason === "ambiguous") return `Too close to call: it may be ${a.prediction_set.map(nameOf).join(" or ")}. A person should look.`;
  return `It is ${REASONS[a.reason] || a.reason}. A person should look.`;
}

function besideInWords(one) {
  return `${one.name} ${one.version} ` + (one.share === null ? "as a shadow, which never answers" : `answers ${percent(one.share)} of the units`);
}

function experimentInWords(one) {
  const arms = one.arms.map(arm => `${arm.arm} ${arm.withdrawn ? "has left" : arm.shadow ? "as a shadow" : percent(arm.share)}` + (arm.units ? `, ${arm.units.toLocaleString("en")} units` : ""));
  return `Experiment ${one.name}: ${arms.join("; ")}.` + (one.blocked ? " Units are missing from an arm, so nothing is concluded." : "");
}

// --- one decision ----------------------------------------------------------------------------------------

function picture(item, alt) {
  const blank = () => image.replaceWith(text("span", "blank", "no picture"));
  const image = element("img", {alt, onerror: blank, src: item.url});
  return image;
}

function chances(a) {
  const all = (a.probabilities || [1 - a.probability, a.probability]).map((p, k) => [nameOf(k), p]);
  const shown = all.length === 2 ? all.slice(1) : all.sort((x, y) => y[1] - x[1]).slice(0, MOST_BARS);
  return element("div", {className: "chances"}, ...shown.map(([name, p]) => {
    const fill = element("i");
    fill.style.width = 100 * p + "%";
    return element("div", {},
      element("div", {}, text("span", "soft", `probability of “${name}”`), text("strong", "", percent(p))),
      element("div", {className: "bar", ariaHidden: "true"}, fill));
  }));
}

function details(a) {
  const facts = element("dl");
  const fact = (name, value) => facts.append(text("dt", "", name), text("dd", "", value));
  fact("prediction set", a.prediction_set.map(nameOf).join(", ") || "none");
  fact("stage", a.stage);
  fact("confidence", a.confidence.toPrecision(4));
  fact("time", Object.entries(a.timing_ms).map(([step, ms]) => `${step.replace("_", " ")} ${ms.toFixed(1)}`).join(", ") + " ms");
  fact("bundle", `${a.bundle.name} ${a.bundle.version}`);
  fact("request id", a.request_id);
  return element("details", {}, text("summary", "", `Details (${a.timing_ms.total.toFixed(1)} ms, stage ${a.stage})`), facts);
}

function labelChoice(item) {
  const made = element("fieldset", {className: "labels"});
  // Returns the first control, for the focus of a keyboard.
  function offer(words = "") {
    const said = element("span", {className: "soft", role: "status", textContent: words});
    const controls = access.open || token ? labelControls(item, said, offer) : tokenControls(offer);
    made.replaceChildren(text("legend", "", "What is it really?"), element("div", {}, ...controls, said));
    return controls[0];
  }
  offer();
  return made;
}

function labelControls(item, said, offer) {
  const few = classes.length <= MOST_BUTTONS;
  const choose = few
    ? classes.map((name, k) => element("button", {type: "button", textContent: name, onclick: () => send(k)}))
    : [element("select", {ariaLabel: "True label", onchange: event => send(Number(event.target.value))},
        element("option", {textContent: "choose", value: "", disabled: true}), ...classes.map((name, k) => element("option", {textContent: name, value: k})))];
  function mark() {
    if (few) choose.forEach((button, k) => button.setAttribute("aria-pressed", item.label === k));
    else choose[0].value = item.label ?? "";
  }
  async function send(k) {
    const headers = token ? {Authorization: "Bearer " + token} : {};
    const reply = await post("feedback", "application/json", JSON.stringify({request_id: item.answer.request_id, label: k}), headers);
    if (reply.status === 401) return refuse(offer);
    said.textContent = reply.ok ? "saved" : sentence(reply.body.detail);
    if (reply.ok) { item.label = k; if (polling) setTimeout(refresh, 300); }
    mark();
  }
  mark();
  return choose;
}

function refuse(offer) {
  const words = token ? "This token is not accepted." : "A label needs a token.";
  access = {open: false, note: ""};
  token = "";
  offer(words).focus();
}

// The token stays in this page's memory: a reload forgets it.
function tokenControls(offer) {
  const field = element("input", {type: "password", autocomplete: "off", ariaLabel: "Token for labels", placeholder: "Token for labels"});
  function use() {
    token = field.value.trim();
    // No other characters can be sent in a header.
    if (/^[!-~]+$/.test(token)) offer().focus();
    else refuse(offer);
  }
  field.onkeydown = event => {
    if (event.key !== "Enter") return;
    event.preventDefault();  // Else the same key presses the button that gets the focus.
    use();
  };
  return [field, element("button", {type: "button", textContent: "Use this token", onclick: use})];
}

function show(item) {
  const [kind, word] = headline(item);
  const result = [text("strong", "word " + kind, word)];
  if (item.problem) {
    result.push(text("p", "", sentence(item.problem.detail)));
  } else {
    const a = item.answer;
    result.push(text("p", "", decisionInWords(a)));
    if (a.guarantee) result.push(text("p", "guarantee" + (a.decision === "answer" ? " covered" : ""), guaranteeInWords(a)));
    result.push(chances(a), labelChoice(item), details(a));
  }
  byId("legend").hidden = true;
  byId("result").replaceChildren(...result);
  byId("picture").hidden = false;
  byId("picture").replaceChildren(picture(item, "the image that was sent"), text("figcaption", "soft", item.name));
  byId("said").textContent = `${item.name}: ${word}, ${reasonInWords(item)}`;
  for (const button of byId("recent").querySelectorAll("button")) button.setAttribute("aria-current", button.item === item);
}

// --- several decisions -----------------------------------------------------------------------------------

function listRecent() {
  byId("history").hidden = items.length < 2;
  byId("recent").replaceChildren(...items.map(item => {
    const [kind, word] = headline(item);
    const button = element("button", {type: "button", item, title: item.name},
      picture(item, ""), text("span", "badge " + kind, word), text("span", "soft", briefly(item)));
    button.onclick = () => { show(item); byId("try").scrollIntoView({block: "nearest"}); };
    return element("li", {}, button);
  }));
}

async function post(path, kind, body, headers = {}) {
  try {
    const reply = await fetch(path, {method: "POST", headers: {"Content-Type": kind, ...headers}, body});
    return {ok: reply.ok, status: reply.status, body: await reply.json()};
  } catch (error) {
    return {ok: false, body: {detail: "The service did not answer."}};
  }
}

async function decide(file) {
  const item = {url: URL.createObjectURL(file), name: file.name || "pasted image"};
  byId("drop").className = "used";
  byId("result").setAttribute("aria-busy", "true");
  // The bytes decide what it is; a name that ends in .txt is no reason.
  const reply = await post("predict", file.type.startsWith("image/") ? file.type : "application/octet-stream", file);
  byId("result").setAttribute("aria-busy", "false");
  item[reply.ok ? "answer" : "problem"] = reply.body;
  items.unshift(item);
  for (const old of items.splice(KEPT)) URL.revokeObjectURL(old.url);
  listRecent();
  show(item);
}

async function decideAll(files) { for (const file of files) await decide(file); }

// --- the state of the service ----------------------------------------------------------------------------

// A figure of which the unit follows, with its interval; a dash and the reason where there is none.
function figureCell(figure, asText, unit) {
  const small = figure.reason || `${asText(figure.low)}\u00a0–\u00a0${asText(figure.high)}${unit}`;
  return element("td", {}, figure.reason ? "–" : asText(figure.value) + unit, text("small", "", small));
}

const shareCell = figure => figureCell(figure, x => inPercent(x, 1), "\u00a0%");
const correlationCell = figure => figureCell(figure, x => x.toFixed(2), "");

function row(name, cells) {
  return element("tr", {}, element("th", {scope: "row", textContent: name}), ...cells);
}

function ofBoth(cell) {
  cell.colSpan = 2;
  return [cell];
}

function showPromise(health) {
  const none = !health.guarantee, doubt = health.guarantee?.doubt, watch = health.monitors[0], alarmed = watch.alarms.length > 0;
  const broken = watch.alarms.some(alarm => alarm.signal === "broken");
  byId("promise").className = none || watch.suspended ? "none" : doubt || alarmed ? "doubted" : "";
  // Set again, the same sentence would be read out again.
  if (byId("watch").textContent !== watch.sentence) byId("watch").textContent = watch.sentence;
  byId("watch").className = alarmed ? "doubt" : "soft";
  byId("doubt").hidden = !doubt;
  byId("doubt").textContent = doubt || "";
  byId("promise-text").textContent = none ? "This bundle may not answer at all: every image is left to a person." : (broken ? "Broken: " + health.claim[0].toLowerCase() + health.claim.slice(1) : health.claim) + ".";
  byId("evidence").textContent = none ? health.promise : health.evidence;
  byId("can-answer").hidden = none;
  byId("abstains").textContent = none ? "Every image, however clear. The probability is still given." : "Not confident enough: no guess is made. The probability is still given.";
  const drift = health.drift;
  byId("drift").hidden = drift.state === "off";
  byId("drift").className = drift.state === "moved" ? "doubt" : "soft";
  byId("drift").textContent = [drift.sentence, drift.expected].filter(Boolean).map(sentence).join(" ");
  byId("beside").hidden = !health.challengers.length;
  byId("experiment").hidden = !health.experiment;
  byId("experiment").textContent = health.experiment ? experimentInWords(health.experiment) : "";
  byId("beside").textContent = "Challengers: " + health.challengers.map(besideInWords).join("; ") + ".";
}

// Options in the place of those that are there; the chosen one stays, if it can.
function offer(select, options) {
  if (options.map(String).join() === select.dataset.offered) return;
  const chosen = select.value;
  select.dataset.offered = options.map(String).join();
  select.replaceChildren(...options.map(([value, name]) => element("option", {value, textContent: name})));
  if (options.some(([value]) => String(value) === chosen)) select.value = chosen;
}

async function showRolling(rolling) {
  const sizes = rolling.windows.map(w => [w.size, `${w.size} predictions`]);
  const others = rolling.bundles.filter(name => name !== rolling.bundle).reverse();
  offer(byId("window"), sizes.reverse());
  offer(byId("scope"), [["", "the bundle that answers"], ["total", "all bundles together"], ...others.map(name => [name, name])]);
  const scope = byId("scope").value;
  if (!scope) showScope(rolling);
  else if (scope === "total") showScope(rolling.total);
  else {
    const reply = await fetch("rolling?bundle=" + encodeURIComponent(scope));
    if (reply.ok && byId("scope").value === scope) showScope(await reply.json());
  }
}

function showScope(rolling) {
  const window = rolling.windows.find(w => String(w.size) === byId("window").value) || rolling.windows[0];
  const both = (figure, cell = shareCell) => [window.all, window.answered].map(series => cell(series[figure]));
  const oneClass = classes.length === 2 ? ` of “${nameOf(1)}”` : ", mean of the classes";
  byId("choose").hidden = byId("table").hidden = !rolling.predictions;
  byId("rolling").replaceChildren(
    row("labelled", [window.all, window.answered].map(series => text("td", "", series.n.toLocaleString("en")))),
    row("accuracy", both("accuracy")),
    row("Matthews correlation", both("mcc", correlationCell)),
    row("precision" + oneClass, both("precision")),
    row("recall" + oneClass, both("recall")),
    row("specificity", both("specificity")),
    row("answered, of all", ofBoth(shareCell(window.decided.coverage))),
    row("went to stage B", ofBoth(shareCell(window.decided.stage_b))),
    ...("reward" in rolling.all ? [row("reward", [rolling.all, rolling.answered].map(s => text("td", "", s.mcc.n ? s.reward.toFixed(3) : "–")))] : []));
  const lag = rolling.label_lag_seconds.p50, of = `${rolling.labelled.toLocaleString("en")} of ${rolling.predictions.toLocaleString("en")} predictions labelled`;
  byId("labels").textContent = rolling.labelled
    ? of + (lag === null ? "" : `, half of the labels within ${lag < 1 ? "a second" : lag.toFixed(1) + " s"}`) + ". “All, forced” counts every labelled prediction, “answered” the answers alone; below each figure its 95 % interval."
    : `${of}. The figures appear once true labels arrive, here or through /feedback.`;
}

function showLabelAccess() {
  byId("label-access").hidden = !access.open;
  byId("label-access").textContent = access.note;
  const authorization = access.open ? "" : "-H 'Authorization: Bearer TOKEN' ";
  byId("commands").textContent = `curl -s -H 'Content-Type: image/jpeg' --data-binary @photo.jpg ${address("predict")}

curl -s ${authorization}-H 'Content-Type: application/json' -d '{"request_id": "...", "label": 1}' ${address("feedback")}`;
}

function showHealth(health) {
  classes = health.classes;
  access = health.labels;
  byId("status").textContent = statusInWords(health);
  byId("status").className = "status " + health.status;
  byId("bundle").textContent = `${health.bundle.name} ${health.bundle.version} on ${health.engine}`;
  showPromise(health);
  showLabelAccess();
}

function showProblem(problem) {
  byId("labels").textContent = sentence(problem.detail);
}

function showAway() {
  byId("status").textContent = "not reached";
  byId("status").className = "status away";
}

async function refresh() {
  try {
    showHealth(await (await fetch("health")).json());
    const reply = await fetch("rolling");
    latest = await reply.json();
    await (reply.ok ? showRolling : showProblem)(latest);
  } catch (error) {
    showAway();
  }
}

// The service sends what has changed. Where no more listeners are taken, the page asks instead.
let latest, source, polling;

function listen() {
  if (document.hidden || source) return;
  source = new EventSource("live");
  source.addEventListener("health", event => showHealth(JSON.parse(event.data)));
  source.addEventListener("rolling", event => showRolling(latest = JSON.parse(event.data)));
  source.addEventListener("problem", event => showProblem(JSON.parse(event.data)));
  source.onerror = () => {
    showAway();
    if (source.readyState !== EventSource.CLOSED) return;
    leave();
    poll();
  };
}

function leave() {
  source?.close();
  source = undefined;
}

function poll() {
  refresh();
  polling ||= setInterval(() => { if (!document.hidden) refresh(); }, EVERY);
}

const address = path => new URL(path, document.baseURI).href;
byId("file").onchange = event => { decideAll([...event.target.files]); event.target.value = ""; };
for (const kind of ["dragover", "dragleave", "drop"])
  document.addEventListener(kind, event => {
    event.preventDefault();
    byId("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop") decideAll([...event.dataTransfer.files]);
  });
document.addEventListener("paste", event => decideAll([...event.clipboardData.files]));
for (const choice of ["window", "scope"]) byId(choice).onchange = () => { if (latest?.windows) showRolling(latest); };
// A page that nobody sees leaves its place to another.
document.addEventListener("visibilitychange", () => document.hidden ? leave() : polling || listen());
showLabelAccess();
listen();
