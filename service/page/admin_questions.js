// Questions before a change of what serves.
let asking;

// Ask, then call `change(fields, signal)`; the question stays with the problem where it is refused.
function ask({title, words, confirm, fields = [], change}) {
  const back = document.activeElement?.dataset.key;
  asking = {change, confirm, back};
  byId("ask-title").textContent = title;
  byId("ask-text").textContent = words;
  byId("ask-fields").replaceChildren(...fields);
  byId("ask-problem").hidden = true;
  rest();
  byId("ask").showModal();
}

function rest() {
  byId("ask-confirm").disabled = false;
  byId("ask-confirm").textContent = asking.confirm;
}

function stopAsking() {
  asking?.running?.abort();
  byId("ask").close();
}

async function confirmed(event) {
  event.preventDefault();
  const mine = asking;
  mine.running = new AbortController();
  byId("ask-problem").hidden = true;
  byId("ask-confirm").disabled = true;
  byId("ask-confirm").textContent = "Working …";
  const values = Object.fromEntries(new FormData(byId("ask-form")));
  try {
    byId("said").textContent = await mine.change(values, mine.running.signal);
  } catch (problem) {
    // A request whose question was left is dropped by the service.
    if (!token || mine.running.signal.aborted) return;
    byId("ask-problem").hidden = false;
    byId("ask-problem").textContent = problem.message;
    return rest();
  }
  byId("ask").close();
  await refresh();
  document.querySelector(`[data-key="${CSS.escape(mine.back ?? "")}"]`)?.focus();
}

function field(label, input) {
  return element("label", {className: "field"}, label, input);
}

const checkbox = (name, words) => element("label", {className: "check"}, element("input", {type: "checkbox", name}), words);

