// Small pieces of the page: elements, requests, pictures. No text of the data is ever read as HTML.

export function el(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (key === "share") made.style.setProperty("--share", String(value));
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, String(value));
  }
  made.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

const KEY = "alnico key";

async function ask(path, options) {
  const key = sessionStorage.getItem(KEY);
  const headers = { ...(options.body ? { "Content-Type": "application/json" } : {}), ...(key ? { "X-API-Key": key } : {}) };
  return fetch(path, { ...options, headers });
}

export async function api(path, body, options = {}) {
  const sent = body === undefined ? options : { ...options, method: "POST", body: JSON.stringify(body) };
  let response = await ask(path, sent);
  if (response.status === 401) {
    const key = window.prompt("This service asks for its key.");
    if (key) {
      sessionStorage.setItem(KEY, key);
      response = await ask(path, sent);
    }
  }
  const told = await response.json();
  if (!response.ok) throw new Error(told.error);
  return told;
}

export const id = (name) => encodeURIComponent(String(name));

export function query(values) {
  const made = new URLSearchParams();
  for (const [key, value] of Object.entries(values)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== "" && one !== null && one !== undefined) made.append(key, one);
    }
  }
  return made.toString();
}

const shown = new Map();

export function picture(item, alt = "") {
  // Loaded by script, since an image element cannot bring the service's key.
  if (!item.has_picture) return el("div", { class: "picture", "aria-hidden": "true" }, "no picture");
  const image = el("img", { class: "picture", alt, loading: "lazy" });
  const known = shown.get(item.item);
  if (known) image.src = known;
  else {
    ask(`items/${id(item.item)}/picture`, {})
      .then((response) => (response.ok ? response.blob() : null))
      .then((blob) => {
        if (!blob) return;
        shown.set(item.item, URL.createObjectURL(blob));
        image.src = shown.get(item.item);
      });
  }
  return image;
}

export const name = (item) => item.title || `item ${item.item}`;

export function say(text) {
  document.getElementById("said").textContent = text;
}

export function bars(caption, values, { signed = false, digits = null } = {}) {
  const most = Math.max(1e-12, ...Object.values(values).map(Math.abs));
  const rows = Object.entries(values).map(([label, value]) => {
    const text = digits === null ? `${(100 * value).toFixed(0)} %` : `${value > 0 && signed ? "+" : ""}${value.toFixed(digits)}`;
    const share = digits === null ? Math.min(1, Math.abs(value)) : Math.abs(value) / most;
    return el("tr", {},
      el("th", { scope: "row" }, label),
      el("td", {}, el("div", { class: value < 0 ? "bar minus" : "bar", "aria-hidden": "true" }, el("span", { share }))),
      el("td", { class: "number" }, text));
  });
  return el("table", {}, el("caption", {}, caption), el("tbody", {}, rows));
}

export function heat(caption, rows) {
  const columns = [...new Set(Object.values(rows).flatMap((row) => Object.keys(row)))];
  const most = Math.max(1e-12, ...Object.values(rows).flatMap((row) => Object.values(row)));
  return el("table", {},
    el("caption", {}, caption),
    el("thead", {}, el("tr", {}, el("td", {}), columns.map((column) => el("th", { scope: "col" }, column)))),
    el("tbody", {}, Object.entries(rows).map(([label, row]) => el("tr", {},
      el("th", { scope: "row" }, label),
      columns.map((column) => {
        const value = row[column];
        if (value === undefined) return el("td", {});
        return el("td", { class: value / most > 0.6 ? "heat strong" : "heat", share: value / most }, `${(100 * value).toFixed(0)} %`);
      })))));
}

export function problem(error) {
  say(error.message);
  return el("p", { class: "error", role: "alert" }, error.message);
}

export function later(work, wait = 200) {
  let timer = null;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...values), wait);
  };
}
