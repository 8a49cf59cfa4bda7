// The dialog that takes one recommendation apart.

import { api, bars, el, heat, id, name, problem, say } from "./parts.js";

const list = (values) => values.filter(Boolean).join(", ");

function witness(one, induced) {
  const alike = Object.entries(one.similarity)
    .filter(([, value]) => value !== null)
    .map(([part, value]) => `${part} ${value.toFixed(2)}`);
  const effect = `${one.effect > 0 ? "+" : ""}${one.effect.toFixed(3)}`;
  const facts = [
    alike.length ? `similarity: ${list(alike)}` : "no common content",
    one.shared_users ? `${one.shared_users} users took both` : null,
    one.listed_in.length ? `content edge by ${list(one.listed_in)}` : null,
  ];
  return el("li", {},
    el("span", { class: "name" }, one.item.title || `item ${one.item.item_id}`, el("br"), el("span", { class: "muted" }, list(facts))),
    el("span", { class: "muted" }, `effect ${effect}`));
}

function content(told, shown, close) {
  const losses = Object.fromEntries(Object.entries(told.without).map(([part, value]) => [part, told.score - value]));
  return [
    el("div", { class: "top" },
      el("h2", { id: "why-title" }, `Why ${name(shown)}?`),
      el("button", { type: "button", onclick: close }, "Close")),
    el("p", {}, `Place ${told.rank} with score ${told.score.toFixed(2)}; an item that is average in every part would have ${told.baseline.toFixed(2)}.`),
    el("div", { class: "halves" },
      el("div", {}, heat("Routing: which experts were asked, by anchor and kind", told.routing)),
      el("div", {}, bars("By anchor", told.groups), bars("By kind of expert", told.families)),
      el("div", {}, bars("What the score is made of", told.reliance)),
      el("div", {}, bars("What the score loses if a part were average", losses, { signed: true, digits: 2 }))),
    el("h3", {}, "Items of the history that speak for it, or against it"),
    told.witnesses.length
      ? el("ul", { class: "small" }, told.witnesses.map((one) => witness(one, told.induced)))
      : el("p", { class: "muted" }, "No item of a history is known."),
    told.induced ? el("p", {}, "An item of the history has it among its nearest neighbours by content, which is what induces an edge.") : null,
  ];
}

export async function why(shown, who) {
  const dialog = document.getElementById("why");
  const close = () => dialog.close();
  dialog.replaceChildren(el("p", { id: "why-title" }, "Asking …"));
  dialog.showModal();
  try {
    const turned = Object.keys(who.emphasis).length > 0;
    const told = who.user !== null && !turned
      ? await api(`explanations/${id(who.user)}/${id(shown.item)}`)
      : await api("explanations", { history: who.history.map(String), item: String(shown.item), emphasis: who.emphasis });
    dialog.replaceChildren(...content(told, shown, close).filter(Boolean));
    say(`Reasons for ${name(shown)}`);
  } catch (error) {
    dialog.replaceChildren(el("div", { class: "top" }, el("h2", { id: "why-title" }, "No reasons"), el("button", { type: "button", onclick: close }, "Close")), problem(error));
  }
  dialog.querySelector("button")?.focus();
}
