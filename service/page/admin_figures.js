// Promise, drift and audits, in words and tables.
const SIGNALS = {broken: "risk above the promise", worse: "risk above the bundle's own beginning", coverage: "fewer answers than proven"};

const twoDigits = x => Number(x.toPrecision(2)).toLocaleString("en", {maximumSignificantDigits: 2});
const number = x => x !== 0 && (Math.abs(x) < 1e-3 || Math.abs(x) >= 1e6) ? x.toExponential(1) : Number(x.toPrecision(3)).toLocaleString("en");
const count = n => n.toLocaleString("en");
const day = at => new Date(1000 * at).toLocaleString("en-GB", {dateStyle: "medium", timeStyle: "short", timeZone: "UTC"}) + " UTC";

function ageInWords(seconds) {
  const units = [[86400, "day"], [3600, "hour"], [60, "minute"]];
  const [length, unit] = units.find(([length]) => seconds >= length) || [1, "second"];
  const n = Math.floor(seconds / length);
  return `${n} ${unit}${n === 1 ? "" : "s"}`;
}

// --- promise --------------------------------------------------------------------------------------------

function askToReset(bundle) {
  const input = name => element("input", {name, required: true, maxLength: 500, autocomplete: "off"});
  ask({
    title: `Reset the monitors of ${bundle}?`,
    words: "Its alarms end, its monitors begin anew, and it may answer again. Name and reason are kept.",
    confirm: "Reset",
    fields: [field("Your name", input("name")), field("Reason", input("reason"))],
    async change(values, signal) {
      await call("POST", `promise/${encodeURIComponent(bundle)}/reset`, {name: values.name, reason: values.reason}, signal);
      return `The alarms of ${bundle} are ended.`;
    },
  });
}

const between = ([low, high]) => `${twoDigits(100 * low)}\u00a0–\u00a0${twoDigits(100 * high)}\u00a0%`;

function signalRow(one, latched) {
  const alarm = latched.find(held => held.signal === one.signal && held.part === one.part);
  return [SIGNALS[one.signal] + (one.part ? `, ${one.part}` : ""), number(one.e_value), number(one.peak), number(one.threshold),
    percent(one.tested), alarm ? "alarm since " + day(alarm.at) : one.alarm ? "alarm" : "quiet"];
}

function monitorParts(one) {
  const alarms = one.alarms, parts = [element("h3", {}, one.bundle, " ", ...(one.suspended ? [text("span", "badge problem", "suspended")] : []))];
  parts.push(text("p", alarms.length ? "doubt" : "", one.sentence || "It answers nobody now. Its alarms stand until a person resets them."));
  if (one.audits) parts.push(text("p", "soft", `Risk ${between(one.risk)} (95 % interval) over ${count(one.audits)} audits; ${count(one.waiting)} wait for a label, ${count(one.missing)} never came.`));
  if (one.signals?.length)
    parts.push(table(`Signals of ${one.bundle}`, ["signal", "e-value", "highest", "alarm at", "tested against", "state"], one.signals.map(each => signalRow(each, alarms))));
  const unseen = alarms.filter(held => !one.signals?.some(each => each.signal === held.signal && each.part === held.part));
  for (const held of unseen) parts.push(text("p", "", `${sentence(SIGNALS[held.signal] + (held.part ? `, ${held.part}` : "")).slice(0, -1)}: alarm since ${day(held.at)}, e-value ${number(held.e_value)}.`));
  for (const done of one.resets) parts.push(text("p", "soft", `Reset on ${day(done.at)} by ${done.name}: ${sentence(done.reason)}`));
  if (alarms.length || one.held_at) parts.push(button("reset " + one.bundle, `Reset ${one.bundle}`, () => askToReset(one.bundle)));
  return parts;
}

function joined(monitors, kept) {
  const of = bundle => kept.find(one => one.bundle === bundle) || {alarms: [], resets: []};
  const gone = kept.filter(one => (one.alarms.length || one.resets.length) && !monitors.some(each => each.bundle === one.bundle));
  // The latch of the private port is the newer one: a worker reads it once a second.
  return [...monitors.map(one => ({...one, alarms: of(one.bundle).alarms, resets: of(one.bundle).resets})), ...gone];
}

// --- drift ----------------------------------------------------------------------------------------------

function shiftRow(shift) {
  const value = x => shift.kind === "category" ? percent(x) : number(x);
  return [shift.words, value(shift.reference), value(shift.current), shift.psi.toFixed(2), number(shift.p_value), shift.moved ? "moved" : "–"];
}

// What a worker says of the drift of each bundle, also where there is no conclusion and why.
function driftSaid(health) {
  const label = one => `${one.name}:${one.version}`;
  return Object.fromEntries([[label(health.bundle), health.drift.sentence], ...health.challengers.map(one => [label(one), one.drift])]);
}

function driftParts({said, bundles}) {
  const parts = [];
  for (const one of bundles) {
    const found = one.conclusion;
    if (bundles.length > 1) parts.push(text("h3", "", one.bundle));
    const words = found ? [found.sentence, one.expected] : [said[one.bundle] || "nothing is concluded about drift yet"];
    parts.push(text("p", found?.alarm ? "doubt" : "", words.filter(Boolean).map(sentence).join(" ")));
    if (!found) continue;
    parts.push(text("p", "soft", `Compared on ${day(found.at)}.` + (found.joint_p_value === null ? "" : ` All signals together (MMD): p = ${number(found.joint_p_value)}.`)));
    if (found.shifts.length)
      parts.push(table(`Signals of drift of ${one.bundle}`, ["signal", "reference", "now", "PSI", "p (Holm)", "state"], found.shifts.map(shiftRow)));
  }
  return parts;
}

