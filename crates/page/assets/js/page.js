// What HTML cannot do by itself: copying, shortcuts, times in the reader's zone, the theme without a reload. Everything else is rendered by
// the server, and works without this file.
"use strict";
(() => {
  const root = document.documentElement;
  const csrf = () => document.querySelector('input[name="csrf"]')?.value ?? "";

  // ---- Times: relative ones grow old while one looks; exact ones are written in the reader's zone.
  const units = [[172800, 86400, "d"], [3600, 3600, "h"], [60, 60, "min"], [0, 1, "s"]];
  const skew = (() => {
    const now = Date.parse(root.dataset.now ?? "");
    return Number.isNaN(now) ? 0 : now - Date.now();
  })();
  const ago = (at) => {
    const seconds = Math.round((Date.now() + skew - at) / 1000);
    const span = Math.abs(seconds);
    if (span < 5) return "just now";
    const [, size, name] = units.find(([from]) => span >= from);
    const text = `${Math.floor(span / size)} ${name}`;
    return seconds > 0 ? `${text} ago` : `in ${text}`;
  };
  const pad = (n) => String(n).padStart(2, "0");
  const exact = (at) => {
    const d = new Date(at);
    if (root.dataset.zone === "utc") return `${d.toISOString().slice(0, 10)} ${d.toISOString().slice(11, 19)} UTC`;
    const day = `${d.getFullYear()}-${pad(d.getMonth() + 1)}-${pad(d.getDate())}`;
    return `${day} ${pad(d.getHours())}:${pad(d.getMinutes())}:${pad(d.getSeconds())}`;
  };
  const times = (within) => {
    for (const time of within.querySelectorAll("time[datetime]")) {
      const at = Date.parse(time.dateTime);
      if (Number.isNaN(at)) continue;
      time.title = exact(at);
      if (time.className === "exact") time.textContent = exact(at);
      else time.textContent = ago(at);
    }
    // What charts say on hover begins with the time, on a line of its own.
    for (const title of within.querySelectorAll("title[data-at]")) {
      title.textContent = title.textContent.replace(/^.*/, exact(Date.parse(title.dataset.at)));
    }
  };

  // ---- Copying.
  const copy = async (button) => {
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
    } catch {
      // Without leave for the clipboard (plain HTTP, say): what shall be copied is selected instead.
      const source = button.parentElement.querySelector("code, pre");
      if (!source) return;
      getSelection().selectAllChildren(source);
      document.execCommand("copy");
    }
    button.classList.add("copied");
    const label = button.getAttribute("aria-label");
    button.setAttribute("aria-label", "Copied");
    setTimeout(() => {
      button.classList.remove("copied");
      button.setAttribute("aria-label", label);
    }, 1500);
  };

  // ---- Theme: at once, and remembered by the server.
  const theme = (button) => {
    const dark = root.dataset.theme === "system" ? matchMedia("(prefers-color-scheme: dark)").matches : root.dataset.theme === "dark";
    const next = dark ? "light" : "dark";
    root.dataset.theme = next;
    button.value = dark ? "dark" : "light";
    const body = new URLSearchParams({ csrf: csrf(), theme: next });
    fetch("/appearance", { method: "POST", body, headers: { "HX-Request": "true" } });
  };

  document.addEventListener("click", (event) => {
    if (event.target.matches("dialog.sheet")) event.target.close();
    const target = event.target.closest("[data-copy], [data-dismiss], [data-theme-switch], [data-open], [data-close]");
    if (!target) {
      for (const open of document.querySelectorAll("details.account[open], details.menu[open]")) {
        if (!open.contains(event.target)) open.open = false;
      }
      return;
    }
    if (target.dataset.copy !== undefined) {
      copy(target);
    } else if (target.dataset.dismiss !== undefined) {
      target.closest(".notice").remove();
    } else if (target.dataset.open !== undefined) {
      const dialog = document.getElementById(target.dataset.open);
      if (dialog?.showModal) {
        event.preventDefault();
        dialog.showModal();
      }
    } else if (target.dataset.close !== undefined) {
      event.preventDefault();
      target.closest("dialog").close();
    } else {
      event.preventDefault();
      theme(target);
    }
  });

  // ---- Sheets: what htmx puts into one is shown, at its own address. Closing it goes back to where one was, without a reload; the
  // browser would leave the focus nowhere after that.
  let below = null;
  const here = () => location.pathname + location.search;
  document.addEventListener("htmx:before:swap", (event) => {
    const target = event.detail.ctx.target;
    if (target?.matches?.("dialog.sheet") && !target.open) below = { path: here(), opener: document.activeElement };
  });
  document.addEventListener("htmx:after:swap", (event) => {
    const target = event.detail.ctx.target;
    if (target?.matches?.("dialog.sheet") && !target.open) target.showModal();
  });
  document.addEventListener("close", (event) => {
    if (!event.target.matches("dialog.sheet")) return;
    event.target.replaceChildren();
    if (below && here() !== below.path) history.back();
  }, true);
  document.addEventListener("htmx:before:history:restore", (event) => {
    if (event.detail.path !== below?.path) return;
    event.preventDefault();
    document.querySelector("dialog.sheet[open]")?.close();
    const { opener } = below;
    below = null;
    Promise.resolve(window.navigation?.transition?.finished).finally(() => opener.focus());
  });

  // ---- A password that is typed can be looked at.
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-reveal]");
    if (!button) return;
    const input = document.getElementById(button.dataset.reveal);
    const reveal = input.type === "password";
    input.type = reveal ? "text" : "password";
    button.setAttribute("aria-pressed", String(reveal));
    input.focus();
  });

  // ---- Shortcuts: `/` searches, `g` and a letter goes somewhere, `?` lists them, Esc closes.
  const places = { c: "/integrations/siem", d: "/deliveries", e: "/events", v: "/verify", k: "/api-keys", u: "/users", a: "/audit" };
  let going = 0;
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      for (const open of document.querySelectorAll("details.account[open], details.menu[open]")) {
        open.open = false;
        open.querySelector("summary").focus();
      }
      return;
    }
    const typing = event.target.closest("input, select, textarea, [contenteditable]");
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "/") {
      const search = document.querySelector("[data-search]");
      if (search) {
        event.preventDefault();
        search.focus();
        search.select();
      } else {
        location.assign("/events");
      }
    } else if (event.key === "g") {
      going = Date.now();
    } else if (event.key === "?") {
      const help = document.getElementById("shortcuts");
      if (help && !document.querySelector("dialog[open]")) help.showModal();
    } else if (places[event.key] && Date.now() - going < 1500) {
      if (document.querySelector(`.rail a[href="${places[event.key]}"]`)) location.assign(places[event.key]);
    } else {
      going = 0;
    }
  });

  // ---- Pasting: the server says which part goes in which field of the form. Only what replaces a whole field is asked about.
  document.addEventListener("paste", async (event) => {
    const input = event.target.closest?.("[data-paste]");
    const pasted = event.clipboardData?.getData("text");
    if (!input || !pasted || input.selectionEnd - input.selectionStart < input.value.length) return;
    const { elements } = input.form;
    const body = new URLSearchParams({ csrf: csrf(), platform: elements.platform.value, pasted });
    const answer = await fetch(input.dataset.paste, { method: "POST", body, headers: { "HX-Request": "true" } });
    if (!answer.ok) return;
    const { fields, said, not_understood: left } = await answer.json();
    for (const [name, value] of Object.entries(fields)) {
      if (elements[name]?.type === "checkbox") elements[name].checked = value !== "";
      else if (elements[name]) elements[name].value = value;
    }
    // What was taken elsewhere does not stay where it was pasted.
    if (Object.keys(fields).length && !(input.name in fields)) input.value = "";
    document.getElementById(`${input.id}-said`).textContent = [said, left.length && `Not understood: ${left.join("; ")}.`].filter(Boolean).join(" ");
  });

  // ---- Filling in: what was found out is put into a field of the form, beside what stands there, and the field is shown.
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-fill]");
    const input = button && document.getElementById(button.dataset.fill);
    if (!input) return;
    const there = input.value.split(",").map((part) => part.trim()).filter(Boolean);
    if (!there.includes(button.dataset.value)) input.value = [...there, button.dataset.value].join(",");
    const folded = input.closest("details");
    if (folded) folded.open = true;
    input.focus();
  });

  // ---- Idempotency: a form that is sent twice is done once. What all look at comes without a key.
  document.addEventListener("submit", (event) => {
    const key = event.target.elements.idempotency_key;
    if (key?.value === "") key.value = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  }, true);

  // A page that one goes back to is sent anew, not again.
  window.addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    for (const key of document.querySelectorAll('input[name="idempotency_key"]')) key.value = "";
  });

  // ---- htmx: scripts in what is swapped in never run (the policy forbids them as well), and changes carry the token.
  document.addEventListener("htmx:config:request", (event) => {
    const request = event.detail.ctx.request;
    if (request.method !== "GET") request.headers["X-CSRF-Token"] = csrf();
  });
  const marked = (within) => {
    times(within);
    for (const button of within.querySelectorAll("[data-reveal][hidden]")) button.hidden = false;
    for (const fault of within.querySelectorAll(".field > .fault")) {
      const wrong = fault.textContent.trim() !== "";
      for (const input of fault.parentElement.querySelectorAll("input, select, textarea")) {
        if (wrong) input.setAttribute("aria-invalid", "true");
        else input.removeAttribute("aria-invalid");
      }
    }
  };
  document.addEventListener("htmx:after:swap", () => marked(document));
  setInterval(() => times(document), 20000);
  marked(document);
})();
