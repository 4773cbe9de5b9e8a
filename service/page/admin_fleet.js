// The fleet that is followed: its record, its services, and the promotion that runs or ran last.
const bundleName = ref => ref ? `${ref.label} (${ref.digest.slice(0, 8)})` : "none";
const clock = at => new Date(1000 * at).toLocaleTimeString("en-GB");

function askOfFleet(title, words, confirm, path, done, reason = "reason") {
  ask({
    title, words, confirm,
    fields: [
      field("Your name", element("input", {name: "by", required: true, maxLength: 200, autocomplete: "off"})),
      ...(reason ? [field(reason === "comment" ? "Comment" : "Reason", element("input", {name: reason, required: true, maxLength: 300, autocomplete: "off"}))] : []),
    ],
    async change(values, signal) {
      await call("POST", path, values, signal);
      return done;
    },
  });
}

function askToPromote() {
  ask({
    title: "Promote a bundle?",
    words: "A bundle of the registry goes through the gates and steps of the default plan, and becomes the champion of every service, or nothing changes. Each step has a longest time.",
    confirm: "Promote",
    fields: [
      field("Bundle: name:version, or a digest", element("input", {name: "bundle", required: true, maxLength: 200, autocomplete: "off"})),
      field("Your name", element("input", {name: "by", required: true, maxLength: 200, autocomplete: "off"})),
      field("Reason", element("input", {name: "reason", required: true, maxLength: 300, autocomplete: "off"})),
    ],
    async change(values, signal) {
      const {promotion} = await call("POST", "promotions", values, signal);
      return promotion ? `The promotion of ${promotion.newcomer.label} has begun.` : "The promotion begins.";
    },
  });
}

function serviceState(one) {
  const state = [one.behind ? `${one.behind} behind` : "", one.prepared === null ? "" : `prepared for ${one.prepared}`,
    one.stale ? "stale: the registry does not answer it" : "", one.fault ? `fault: ${one.fault}` : ""];
  return state.filter(Boolean).join("; ") || "serves it";
}

function promotionControls(one) {
  if (!one.running) return [];
  const approve = one.phase === "approval" && !one.approval
    ? [button("approve", "Approve", () => askOfFleet(`Approve ${one.id}?`, "The promotion goes on with its next step.", "Approve", "promotions/approve", "The promotion is approved.", "comment"))]
    : [];
  return [...approve,
    button("abort", "Abort", () => askOfFleet(`Abort ${one.id}?`, "The newcomer leaves the fleet, and the champion before it answers every unit.", "Abort", "promotions/abort", "The promotion has ended.")),
    button("resume", "Resume", () => askOfFleet(`Resume ${one.id}?`, "Another promoter goes on with it, if the one that led it gives no sign of life any more.", "Resume", "promotions/resume", "The promotion goes on.", null))];
}

function promotionParts(one) {
  if (!one) return [text("p", "soft", "There has been no promotion since the last change.")];
  const state = one.phase === "promoted" ? "answer" : one.phase === "rolled-back" ? "problem" : "abstain";
  const until = one.until === null ? "" : `, until ${clock(one.until)} at the latest`;
  const parts = [
    element("h3", {}, `Promotion of ${bundleName(one.newcomer)} `, text("span", "badge " + state, one.phase)),
    text("p", "soft", `${one.id}, begun ${day(one.started.at)} by ${one.started.by}; ${one.running ? `step ${one.step + 1} of this phase since ${clock(one.since)}${until}` : `ended ${day(one.since)}`}.`)];
  if (one.why) parts.push(text("p", "doubt", sentence(one.why)));
  if (one.approval) parts.push(text("p", "soft", `Approved by ${one.approval.by}: ${sentence(one.approval.comment)}`));
  if (one.results.length) parts.push(table(`Gates of ${one.id}`, ["gate", "outcome", "figure", "limit", ""],
    one.results.map(gate => [gate.gate, gate.outcome, maybe(gate.figure, String), maybe(gate.limit, String), gate.text])));
  parts.push(element("div", {className: "actions"}, ...promotionControls(one)));
  return parts;
}

function fleetParts(fleet) {
  const changed = fleet.changed, parts = [
    text("p", "soft", fleet.generation === null ? `${fleet.fleet} in ${fleet.registry} serves nothing yet.`
      : `${fleet.fleet}, generation ${fleet.generation}, changed ${day(changed.at)} by ${changed.by}${changed.reason ? ": " + sentence(changed.reason) : "."}`),
    text("p", "", `Champion: ${bundleName(fleet.champion)}. Before it: ${bundleName(fleet.previous)}.${fleet.next ? ` Being prepared: ${bundleName(fleet.next)}.` : ""}`)];
  for (const one of fleet.challengers) parts.push(text("p", "", `Challenger ${one.name}: ${bundleName(one.bundle)}, ${one.shadow ? "shadow" : percent(one.share) + " of the units"}.`));
  if (fleet.unseen) parts.push(text("p", "doubt", sentence(fleet.unseen)));
  else parts.push(table("Services", ["service", "generation", "champion", "state"], fleet.services.map(one => [one.service, one.generation, one.champion_label, serviceState(one)])));
  parts.push(...promotionParts(fleet.promotion));
  const running = fleet.promotion?.running;
  const controls = running ? [] : [button("promote", "Promote a bundle", askToPromote)];
  if (fleet.previous && !running) controls.push(button("fleet back", `Roll the fleet back to ${fleet.previous.label}`,
    () => askOfFleet(`Roll back to ${fleet.previous.label}?`, "It answers on every service of the fleet, and no later roll-back leads to the present champion again.", "Roll back", "rollback", `${fleet.previous.label} is the champion.`)));
  parts.push(element("div", {className: "actions"}, ...controls));
  return parts;
}

async function refreshFleet() {
  const section = byId("fleet").closest("section");
  try {
    const fleet = await call("GET", "fleet");
    section.hidden = !token;
    show("fleet", fleet, fleetParts);
  } catch (problem) {
    section.hidden = !token || problem.kind === "no-registry-followed";
    if (!section.hidden) fail("fleet", problem);
  }
}
