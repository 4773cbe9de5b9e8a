"use strict";
// What the pages share.
const byId = id => document.getElementById(id);
const inPercent = (x, digits) => (100 * x).toLocaleString("en", {maximumFractionDigits: digits});
const percent = x => inPercent(x, 2) + " %";
const STORE = {down: "without its store", off: "without its store", rebuilding: "its store is being rebuilt from the event log"};

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

const text = (tag, className, textContent) => element(tag, {className, textContent});
const sentence = words => words[0].toUpperCase() + words.slice(1) + (words.endsWith(".") ? "" : ".");

function statusInWords(health) {
  if (health.status === "draining") return "stopping";
  const wrong = [
    STORE[health.store.state],
    health.event_log === "failing" ? "its event log cannot be written" : null,
    health.monitors[0].suspended ? "its bundle is suspended" : null,
    health.alerts.working ? null : "its alerts are not evaluated",
  ];
  return ["serving", ...wrong.filter(Boolean)].join(", ");
}

