// The line-up of bundles.
function askToActivate(name) {
  ask({
    title: `Activate ${name}?`,
    words: "It is verified, loaded and tried first, which may take minutes. Then it becomes the champion on every worker, or on none, and its monitors begin anew.",
    confirm: "Activate",
    fields: [checkbox("abstaining", "Also if it would abstain on every image")],
    async change(values, signal) {
      const answer = await call("POST", `bundles/${encodeURIComponent(name)}/activate` + (values.abstaining ? "?allow=abstaining" : ""), null, signal);
      return `${answer.bundle} is the champion.`;
    },
  });
}

function askToRollBack(lineup) {
  ask({
    title: `Roll back to ${lineup.previous}?`,
    words: `It answers on every worker instead of ${lineup.active}, and no later roll-back leads to ${lineup.active} again.`,
    confirm: "Roll back",
    async change(values, signal) {
      const answer = await call("POST", "rollback", null, signal);
      return `${answer.bundle} is the champion.`;
    },
  });
}

function askToChallenge(name, before) {
  const share = element("input", {type: "number", name: "share", min: 0.1, max: 100, step: "any", value: before?.share ? 100 * before.share : 10, required: true});
  const kinds = [["shadow", "Shadow"], ["share", "Answers a share of the units"]];
  const mode = element("select", {name: "mode"}, ...kinds.map(([value, words]) => element("option", {value, textContent: words})));
  const percent = field("Percent of the units", share);
  mode.onchange = () => percent.hidden = share.disabled = mode.value === "shadow";
  if (before?.share) mode.value = "share";
  mode.onchange();
  ask({
    title: `Set ${name} as a challenger?`,
    words: "A shadow decides the same images in spare time and never answers. A share of the units gets the challenger's answers instead of the champion's.",
    confirm: "Set",
    fields: [field("How", mode), percent],
    async change(values, signal) {
      await call("PUT", `challengers/${encodeURIComponent(name)}`, values.mode === "shadow" ? {shadow: true} : {share: Number(values.share) / 100}, signal);
      return `${name} is a challenger.`;
    },
  });
}

function askToWithdraw(name) {
  ask({
    title: `Withdraw ${name}?`,
    words: "Its share of the units goes back to the champion.",
    confirm: "Withdraw",
    async change(values, signal) {
      await call("DELETE", `challengers/${encodeURIComponent(name)}`, null, signal);
      return `${name} is no challenger any more.`;
    },
  });
}

async function verify(name, said) {
  said.className = "soft";
  said.textContent = "verifying …";
  try {
    const found = await call("POST", `bundles/${encodeURIComponent(name)}/verify`);
    said.textContent = [`Verified: ${found.name} ${found.version} of ${day(Date.parse(found.created_at) / 1000)}.`,
      ...Object.entries(found.certificates).map(([key, words]) => `On ${key}: ${sentence(words)}`)].join(" ");
  } catch (problem) {
    said.className = "doubt";
    said.textContent = problem.message;
  }
}

function roleOf(name, lineup) {
  if (name === lineup.active) return ["answer", "champion"];
  const challenger = lineup.challengers.find(one => one.name === name);
  if (challenger) return ["abstain", challenger.shadow ? "shadow" : `answers ${percent(challenger.share)} of the units`];
  return name === lineup.previous ? ["", "champion before"] : null;
}

function lineupItem(name, lineup) {
  const role = roleOf(name, lineup), challenger = lineup.challengers.find(one => one.name === name), active = name === lineup.active;
  const said = element("p", {className: "soft", role: "status"}), gone = !lineup.bundles.includes(name);
  const controls = gone ? [] : [button("verify " + name, "Verify", () => verify(name, said))];
  if (!active && !gone) {
    controls.push(button("activate " + name, "Activate", () => askToActivate(name)));
    controls.push(button("challenge " + name, challenger ? "Change" : "Challenge", () => askToChallenge(name, challenger)));
  }
  if (challenger) controls.push(button("withdraw " + name, "Withdraw", () => askToWithdraw(name)));
  for (const control of controls) control.setAttribute("aria-label", `${control.textContent} ${name}`);
  const head = element("div", {className: "head"}, text("strong", "", name), ...(role ? [text("span", "badge " + role[0], role[1])] : []));
  return element("li", {}, head, element("div", {className: "actions"}, ...controls), said);
}

function lineupParts(lineup) {
  const gone = [lineup.active, ...lineup.challengers.map(one => one.name)].filter(name => !lineup.bundles.includes(name));
  const back = lineup.previous
    ? button("rollback", `Roll back to ${lineup.previous}`, () => askToRollBack(lineup))
    : text("p", "soft", "No other bundle has answered since the start, so there is nothing to roll back to.");
  return [element("ul", {className: "bundles"}, ...[...lineup.bundles, ...gone].map(name => lineupItem(name, lineup))), back];
}

