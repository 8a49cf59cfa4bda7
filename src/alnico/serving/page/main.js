// The page: recommendations for a user or for a history clicked together, the catalogue, and the routing on the whole.

import { api, bars, el, id, later, name, picture, problem, query, say } from "./parts.js";
import { why } from "./why.js";

const view = document.getElementById("view");
const state = { about: null, user: null, history: [], emphasis: {}, category: "", diversity: 0, k: 12 };

function small(item, ...actions) {
  return el("li", {}, picture(item), el("a", { class: "name", href: `#/item/${id(item.item)}` }, name(item)), actions);
}

function emphasis() {
  return Object.fromEntries(Object.entries(state.emphasis).filter(([, value]) => value !== 1));
}

async function recommended() {
  const turned = emphasis();
  if (state.user !== null) {
    const told = query({
      k: state.k, category: state.category, diversity: state.diversity,
      emphasis: Object.entries(turned).map(([part, value]) => `${part}:${value}`),
    });
    return api(`users/${id(state.user)}/recommendations?${told}`);
  }
  return api("recommendations", {
    history: state.history.map((item) => String(item.item)), k: state.k, diversity: state.diversity, emphasis: turned,
    categories: state.category ? [state.category] : [],
  });
}

function card(item) {
  const who = { user: state.user, history: state.history.map((one) => one.item), emphasis: emphasis() };
  return el("li", { class: "card" },
    picture(item),
    el("h3", {}, el("a", { href: `#/item/${id(item.item)}` }, name(item))),
    el("span", { class: "muted" }, [item.category, item.price, item.basis === "trained" ? "" : `placed by: ${item.basis}`].filter(Boolean).join(" · ")),
    el("div", { class: "actions" },
      state.about.explains ? el("button", { type: "button", "aria-label": `Why ${name(item)}?`, onclick: () => why(item, who) }, "Why?") : null,
      el("button", { type: "button", "aria-label": `Add ${name(item)} to the history`, onclick: () => take(item) }, "I have it")));
}

async function refresh() {
  const place = document.getElementById("list");
  if (!place) return;
  try {
    const told = await recommended();
    place.replaceChildren(
      ...told.notes.map((note) => el("p", { class: "notes" }, note)),
      told.items.length ? el("ol", { class: "cards" }, told.items.map(card)) : el("p", {}, "Nothing is left to recommend."));
    say(`${told.items.length} recommendations, the first is ${told.items.length ? name(told.items[0]) : "none"}`);
  } catch (error) {
    place.replaceChildren(problem(error));
  }
}

function anonymous() {
  // A history that was changed is nobody's in training.
  state.user = null;
  const field = document.getElementById("user");
  if (field) field.value = "";
}

function showHistory() {
  const place = document.getElementById("history");
  if (!place) return;
  const entries = state.history.map((item) => small(item,
    el("button", { type: "button", "aria-label": `Forget ${name(item)}`, onclick: () => forget(item) }, "Forget")));
  place.replaceChildren(entries.length ? el("ul", { class: "small" }, entries) : el("p", { class: "muted" }, "Empty: the items that most users took are shown."));
}

function take(item) {
  if (!state.history.some((one) => one.item === item.item)) state.history.push(item);
  anonymous();
  showHistory();
  refresh();
}

function forget(item) {
  state.history = state.history.filter((one) => one.item !== item.item);
  anonymous();
  showHistory();
  refresh();
  document.querySelector("#history button")?.focus();
}

async function choose(user) {
  try {
    const told = await api(`users/${id(user)}/history`);
    state.user = told.user;
    state.history = told.items;
    showHistory();
    refresh();
  } catch (error) {
    document.getElementById("list").replaceChildren(problem(error));
  }
}

function slider(label, value, most, change) {
  const name = `slider-${label.replaceAll(/\W/g, "-")}`;
  const told = el("output", { for: name }, value.toFixed(1));
  const made = el("input", { type: "range", id: name, min: 0, max: most, step: 0.1, value, oninput: (event) => {
    told.textContent = Number(event.target.value).toFixed(1);
    change(Number(event.target.value));
  } });
  return el("div", {}, el("label", { class: "inline", for: name }, label), told, made);
}

async function home() {
  const about = state.about;
  const users = el("datalist", { id: "users" });
  const suggest = later(async (text) => {
    const told = await api(`users?${query({ search: text, limit: 20 })}`);
    users.replaceChildren(...told.users.map((user) => el("option", { value: user })));
  });
  const found = el("ul", { class: "small" });
  const search = later(async (text) => {
    const told = text ? await api(`items?${query({ search: text, limit: 6 })}`) : { items: [] };
    found.replaceChildren(...told.items.map((item) => small(item, el("button", { type: "button", "aria-label": `Add ${name(item)} to the history`, onclick: () => take(item) }, "Add"))));
    say(`${told.items.length} items found`);
  });
  const again = later(refresh, 120);
  const controls = el("div", {},
    el("fieldset", {}, el("legend", {}, "For whom"),
      el("label", { for: "user" }, "A user of the training"),
      el("input", { type: "text", id: "user", list: "users", value: state.user ?? "", autocomplete: "off",
        oninput: (event) => suggest(event.target.value), onchange: (event) => event.target.value && choose(event.target.value) }), users,
      el("label", { for: "search" }, "Or a history clicked together: find items"),
      el("input", { type: "search", id: "search", oninput: (event) => search(event.target.value) }), found,
      el("h3", {}, "History"), el("div", { id: "history" }),
      el("button", { type: "button", onclick: () => { state.history = []; anonymous(); showHistory(); refresh(); } }, "Begin anew")),
    el("fieldset", {}, el("legend", {}, "What counts"),
      about.parts.map((part) => slider(part, state.emphasis[part] ?? 1, 3, (value) => { state.emphasis[part] = value; again(); })),
      about.parts.length ? null : el("p", { class: "muted" }, "This model has no parts to turn up or down."),
      slider("different from each other", state.diversity, 1, (value) => { state.diversity = value; again(); }),
      about.categories.length ? el("label", {}, "Category ", el("select", { onchange: (event) => { state.category = event.target.value; refresh(); } },
        el("option", { value: "" }, "all"), about.categories.map((one) => el("option", { value: one, selected: one === state.category }, one)))) : null));
  view.replaceChildren(el("div", { class: "two" }, controls, el("section", { "aria-label": "Recommendations" }, el("h2", {}, "Recommended"), el("div", { id: "list" }))));
  showHistory();
  suggest("");
  if (state.user === null && !state.history.length && about.has_histories) {
    const first = (await api("users?limit=1")).users[0];
    document.getElementById("user").value = first;
    await choose(first);
  } else await refresh();
}

async function catalogue() {
  const place = el("div", {});
  const asked = { search: "", category: "", offset: 0, limit: 24 };
  const show = async () => {
    const told = await api(`items?${query(asked)}`);
    const last = Math.min(asked.offset + asked.limit, told.total);
    place.replaceChildren(
      el("p", { class: "muted" }, told.total ? `${asked.offset + 1} to ${last} of ${told.total}` : "Nothing found."),
      el("ul", { class: "cards" }, told.items.map((item) => el("li", { class: "card" }, picture(item),
        el("h3", {}, el("a", { href: `#/item/${id(item.item)}` }, name(item))), el("span", { class: "muted" }, item.category)))),
      el("p", {},
        asked.offset > 0 ? el("button", { type: "button", onclick: () => { asked.offset -= asked.limit; show(); } }, "Before") : null, " ",
        last < told.total ? el("button", { type: "button", onclick: () => { asked.offset += asked.limit; show(); } }, "After") : null));
    say(`${told.total} items`);
  };
  const again = later(() => { asked.offset = 0; show(); });
  view.replaceChildren(el("h2", {}, "Catalogue"),
    el("label", {}, "Search ", el("input", { type: "search", oninput: (event) => { asked.search = event.target.value; again(); } })),
    state.about.categories.length ? el("label", {}, "Category ", el("select", { onchange: (event) => { asked.category = event.target.value; again(); } },
      el("option", { value: "" }, "all"), state.about.categories.map((one) => el("option", { value: one }, one)))) : null,
    place);
  await show();
}

async function item(which) {
  const told = await api(`items/${id(which)}`);
  const lists = await Promise.all(told.sources.map((by) => api(`items/${id(which)}/similar?${query({ by, k: 6 })}`)));
  view.replaceChildren(
    el("h2", {}, name(told)),
    el("div", { class: "two" },
      el("div", { class: "panel" }, picture(told, name(told)),
        el("p", { class: "muted" }, `${told.takers} users took it in training; its place rests on: ${told.basis}.`),
        el("button", { type: "button", onclick: () => { take(told); location.hash = "#/"; } }, "Add to the history")),
      el("div", {},
        el("table", {}, el("caption", {}, "As the catalogue has it"), el("tbody", {}, Object.entries(told.columns).filter(([, value]) => value).map(([key, value]) =>
          el("tr", {}, el("th", { scope: "row" }, key), el("td", {}, value))))),
        told.sources.map((by, place) => [
          el("h3", {}, by === "behaviour" ? "Taken by the same people" : `Alike in ${by}`),
          lists[place].items.length
            ? el("ul", { class: "small" }, lists[place].items.map((other) => small(other, el("span", { class: "muted" }, other.score.toFixed(2)))))
            : el("p", { class: "muted" }, "Nothing is known."),
        ]))));
  say(name(told));
}

async function routing() {
  const told = await api("routing");
  view.replaceChildren(
    el("h2", {}, "Routing on the whole"),
    el("p", {}, `Over ${told.pairs} training pairs ${told.effective.toFixed(1)} of ${Object.keys(told.experts).length} experts are in use.`),
    ...told.notes.map((note) => el("p", { class: "notes" }, note)),
    el("div", { class: "halves" },
      el("div", {}, bars("Load of each expert", told.experts)),
      el("div", {}, bars("By anchor", told.groups), bars("By kind", told.families), bars("What scores are made of", told.reliance))),
    told.course.epochs?.length > 1 ? course(told.course) : el("p", { class: "muted" }, "The bundle holds no course of training."));
}

function course(told) {
  const rows = told.epochs.map((epoch, place) => el("tr", {}, el("th", { scope: "row" }, epoch),
    el("td", {}, el("div", { class: "bar", "aria-hidden": "true" }, el("span", { share: told.entropy[place] }))),
    el("td", { class: "number" }, told.entropy[place].toFixed(3)),
    el("td", {}, told.stage[place] === 2 ? "confidence" : "coverage")));
  return el("table", {}, el("caption", {}, "Entropy of the mean routing over the epochs, and the stage"),
    el("thead", {}, el("tr", {}, ["epoch", "", "entropy", "stage"].map((text) => el("th", { scope: "col" }, text)))), el("tbody", {}, rows));
}

const VIEWS = [
  [/^#\/item\/(.+)$/, (found) => item(decodeURIComponent(found[1]))],
  [/^#\/catalogue$/, catalogue],
  [/^#\/routing$/, routing],
  [/.*/, home],
];

async function show() {
  const hash = location.hash || "#/";
  for (const link of document.querySelectorAll("nav a")) {
    if (link.getAttribute("href") === hash) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const [pattern, make] = VIEWS.find(([one]) => one.test(hash));
  try {
    await make(pattern.exec(hash));
  } catch (error) {
    view.replaceChildren(el("h2", {}, "That did not work"), problem(error));
  }
}

window.addEventListener("hashchange", () => { show(); view.focus(); });
state.about = await api("about");
document.getElementById("label").textContent = state.about.label;
document.title = `${state.about.label} · alnico`;
await show();
