// Alerts: what fires, who was told, and what a person does with it.
const ACTS = {
  acknowledge: {words: "Acknowledge", title: rule => `Acknowledge ${rule}?`, about: "You see to it, and nobody further on the ladder is told.", done: "acknowledged"},
  escalate: {words: "Escalate", title: rule => `Escalate ${rule}?`, about: "The next one on the ladder is told at once.", done: "escalated"},
  resolve: {words: "Resolve", title: rule => `Resolve ${rule}?`, about: "Those who were told hear that it is over. If its condition still holds, it fires again after five minutes.", done: "resolved"},
};

const givenText = name => element("input", {name, required: true, maxLength: 300, autocomplete: "off"});
const whoAndWhy = () => [field("Your name", givenText("name")), field("Reason", givenText("reason"))];

function askToAct(kind, alert) {
  const {title, about, words, done} = ACTS[kind];
  ask({
    title: title(alert.rule), words: `${sentence(alert.text)} ${about} Name and reason are kept.`, confirm: words, fields: whoAndWhy(),
    async change({name, reason}, signal) {
      const after = await call("POST", `alerts/${alert.fingerprint}/${kind}`, {name, reason}, signal);
      return after.applied ? `${alert.rule} is ${done}.` : "It is noted, and takes effect as soon as an engine runs.";
    },
  });
}

function askToSilence(alert) {
  ask({
    title: `Silence ${alert.rule}?`, words: "This alert is told to nobody until the end of the silence; if it still fires then, it is told again.",
    confirm: "Silence", fields: [field("For how long, as 30m, 2h or 1d", givenText("lasts")), ...whoAndWhy()],
    async change({lasts, name, reason}, signal) {
      await call("POST", "silences", {matchers: {fingerprint: alert.fingerprint}, lasts, name, reason}, signal);
      return `${alert.rule} is silenced for ${lasts}.`;
    },
  });
}

function askToEnd(silence) {
  ask({
    title: "End this silence?", words: "What still fires is told again.", confirm: "End", fields: whoAndWhy(),
    async change({name, reason}, signal) {
      await call("DELETE", `silences/${silence.id}`, {name, reason}, signal);
      return "The silence is over.";
    },
  });
}

const namedLabels = labels => Object.entries(labels).map(([name, value]) => `${name} ${value}`).join(", ");

function alertParts(alert) {
  const open = ["firing", "acknowledged", "escalated"].includes(alert.state), key = alert.fingerprint;
  const badge = text("span", "badge" + (open && alert.state !== "acknowledged" ? " problem" : ""), alert.state);
  const parts = [
    element("h3", {}, `${alert.rule} `, badge),
    text("p", open && alert.severity === "critical" ? "doubt" : "", sentence(alert.text || "no data")),
    text("p", "soft", [alert.severity, namedLabels(alert.labels), `since ${day(alert.since ?? alert.opened)}`, `fingerprint ${key}`,
      alert.told.length ? `told: ${alert.told.join(", ")}` : "nobody was told", alert.silenced_by.length ? "silenced" : ""].filter(Boolean).join("; ") + "."),
  ];
  if (open && alert.action) parts.push(text("p", "", `${alert.action} (${alert.runbook})`));
  for (const act of alert.acts) parts.push(text("p", "soft", `${act.kind} on ${day(act.at)} by ${act.name}: ${sentence(act.reason)}`));
  if (open) {
    const acts = Object.keys(ACTS).map(kind => button(`${kind} ${key}`, ACTS[kind].words, () => askToAct(kind, alert)));
    for (const made of acts) made.ariaLabel = `${made.textContent} ${alert.rule}`;
    const quiet = button(`silence ${key}`, "Silence", () => askToSilence(alert));
    quiet.ariaLabel = `Silence ${alert.rule}`;
    parts.push(element("div", {className: "actions"}, ...acts, quiet));
  }
  return parts;
}

function silenceParts(silence) {
  const words = `Silence of ${namedLabels(silence.matchers)} until ${day(silence.until)} by ${silence.name}: ${sentence(silence.reason)}`;
  return [text("p", "", words), button("end " + silence.id, "End the silence", () => askToEnd(silence))];
}

function alertsParts({evaluated_at, alerts, silences}) {
  const state = evaluated_at === null ? "No engine has evaluated the alerts yet." : alerts.length ? "" : "No alerts.";
  return [...(state ? [text("p", "soft", state)] : []), ...alerts.flatMap(alertParts), ...silences.flatMap(silenceParts)];
}

async function refreshAlerts() {
  try {
    const {evaluated_at, alerts, silences} = await call("GET", "alerts");
    // Its time changes at each evaluation, which is nothing to draw the page again for.
    show("alerts", {evaluated_at: evaluated_at && 1, alerts, silences}, alertsParts);
  } catch (problem) {
    fail("alerts", problem);
  }
}

