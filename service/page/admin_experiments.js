// Experiments: arms, guardrails and the ratio of units, and the questions before a change.
const GUARD_STATES = {within: "within", inconclusive: "not decided", beyond: "beyond the limit"};
const maybe = (x, inWords) => x === null || x === undefined ? "\u2013" : inWords(x);

const toldFields = () => [
  field("Your name", element("input", {name: "by", required: true, maxLength: 300, autocomplete: "off"})),
  field("Reason", element("input", {name: "reason", required: true, maxLength: 300, autocomplete: "off"})),
];

function askToStart() {
  ask({
    title: "Start an experiment?",
    words: "All units are dealt anew, to the champion and to the challengers of now, with the shares that they have.",
    confirm: "Start",
    fields: [field("Name of the experiment", element("input", {name: "name", required: true, maxLength: 64, pattern: "[A-Za-z0-9][A-Za-z0-9._\\-]*", autocomplete: "off"})), ...toldFields()],
    async change(values, signal) {
      await call("POST", "experiments", values, signal);
      return `${values.name} has begun.`;
    },
  });
}

function askToStop(name) {
  ask({
    title: `Stop ${name}?`,
    words: "Its challengers stay, with the shares that they have; units are dealt as without an experiment.",
    confirm: "Stop",
    fields: toldFields(),
    async change(values, signal) {
      await call("POST", `experiments/${encodeURIComponent(name)}/stop`, values, signal);
      return `${name} has ended.`;
    },
  });
}

function askToShare(name, arm) {
  const share = element("input", {name: "share", type: "number", min: "0.01", max: "100", step: "0.01", required: true, value: arm.share ? 100 * arm.share : ""});
  ask({
    title: `Change the share of ${arm.arm}?`,
    words: "Units move between it and the control alone, and a new stratum begins.",
    confirm: "Change",
    fields: [field("Share of the units in %", share), ...toldFields()],
    async change(values, signal) {
      await call("POST", `experiments/${encodeURIComponent(name)}/share`, {arm: arm.arm, share: Number(values.share) / 100, by: values.by, reason: values.reason}, signal);
      return `${arm.arm} has ${values.share} % of the units.`;
    },
  });
}

function askToLeave(name, arm) {
  ask({
    title: `Withdraw ${arm}?`,
    words: "Its units return to the control.",
    confirm: "Withdraw",
    fields: toldFields(),
    async change(values, signal) {
      await call("POST", `experiments/${encodeURIComponent(name)}/withdraw`, {arm, ...values}, signal);
      return `${arm} has left ${name}.`;
    },
  });
}

function armState(arm, left) {
  const gone = left.findLast(one => one.arm === arm.arm);
  if (arm.withdrawn && gone) return `left: ${gone.cause}`;
  return arm.shadow ? "shadow" : percent(arm.share);
}

function runningParts(one) {
  const view = one.view, arms = view?.arms || [], parts = [];
  const blocked = one.mismatch?.reason || (view?.blocked ? "Units are missing from an arm." : "");
  parts.push(element("h3", {}, one.name, " ", ...(blocked ? [text("span", "badge problem", "blocked")] : [])));
  parts.push(text("p", "soft", `Since ${day(one.started.at)} by ${one.started.by}: ${sentence(one.started.reason)} Stratum ${one.strata.length - 1}.`));
  if (blocked) parts.push(text("p", "doubt", sentence(`Nothing is concluded: ${blocked}`)));
  if (arms.length) parts.push(table(`Arms of ${one.name}`, ["arm", "bundle", "share", "units", "requests"],
    arms.map(arm => [arm.arm, arm.bundle, armState(arm, one.withdrawals), count(arm.units), maybe(view.requests[arm.arm], count)])));
  if (view?.guardrails.length) parts.push(table(`Guardrails of ${one.name}`, ["guardrail", "arm", "control", "arm's", "worse by", "limit", "state"],
    view.guardrails.map(guard => [guard.guard, guard.arm, maybe(guard.control, percent), maybe(guard.challenger, percent), maybe(guard.harm, percent), percent(guard.limit), GUARD_STATES[guard.state]])));
  if (view?.figures.length) parts.push(table(`Differences in ${one.name}`, ["metric", "arm", "difference", "interval", "conclusion"],
    view.figures.map(figure => [figure.metric, figure.arm, maybe(figure.difference, twoDigits), maybe(figure.low, low => `${twoDigits(low)} \u2013 ${twoDigits(figure.high)}`), figure.conclusion])));
  for (const gone of one.withdrawals) parts.push(text("p", "doubt", `${gone.arm} left on ${day(gone.note.at)} (${gone.cause}): ${sentence(gone.note.reason)}`));
  const there = arms.filter(arm => arm.arm !== "control" && !arm.withdrawn);
  const controls = there.flatMap(arm => [button(`share ${arm.arm}`, `Share of ${arm.arm}`, () => askToShare(one.name, arm)), button(`leave ${arm.arm}`, `Withdraw ${arm.arm}`, () => askToLeave(one.name, arm.arm))]);
  parts.push(element("div", {className: "actions"}, ...controls, button("stop " + one.name, `Stop ${one.name}`, () => askToStop(one.name))));
  return parts;
}

function experimentParts(experiments) {
  const running = experiments.filter(one => one.running), ended = experiments.filter(one => !one.running);
  const parts = running.flatMap(runningParts);
  if (!running.length) parts.push(text("p", "soft", "No experiment runs."), button("start", "Start an experiment", askToStart));
  for (const one of ended) parts.push(text("p", "soft", `${one.name} ended on ${day(one.ended.at)} by ${one.ended.by}: ${sentence(one.ended.reason)}`));
  return parts;
}
