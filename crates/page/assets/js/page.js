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

  // ---- Times that are chosen: what is sent is in UTC, what is shown in the reader's zone.
  const zone = root.dataset.zone === "utc" ? "UTC" : Intl.DateTimeFormat().resolvedOptions().timeZone;
  // As a field holds it, without seconds where there are none.
  const short = (text) => text.replace(" ", "T").slice(0, text.slice(17, 19) === "00" ? 16 : 19);
  const sent = (text) => {
    if (text === "") return "";
    const at = new Date(zone === "UTC" ? `${text}Z` : text);
    return Number.isNaN(at.getTime()) ? text : short(at.toISOString());
  };
  const zoned = (within) => {
    for (const name of within.querySelectorAll("[data-zone-name]")) name.textContent = `(${zone})`;
    for (const input of within.querySelectorAll('input[type="datetime-local"][name]')) {
      const kept = document.createElement("input");
      kept.type = "hidden";
      kept.name = input.name;
      kept.value = input.dataset.at ? short(input.dataset.at) : input.value;
      input.removeAttribute("name");
      input.after(kept);
      const at = Date.parse(input.dataset.at ?? "");
      if (!Number.isNaN(at)) input.value = short(exact(at));
    }
  };
  // Nine in the morning of tomorrow, where the reader is.
  const mornings = (within) => {
    if (zone === "UTC") return;
    for (const input of within.querySelectorAll("input[data-morning]")) {
      const at = new Date();
      at.setDate(at.getDate() + 1);
      at.setHours(9, 0, 0, 0);
      input.value = at.toISOString();
    }
  };
  document.addEventListener("change", ({ target }) => {
    if (target.type === "datetime-local") target.nextElementSibling.value = sent(target.value);
  }, true);

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
    fetch("/appearance", { method: "POST", body, headers: { "HX-Request": "true" } }).catch(() => {});
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
  const places = { c: "/integrations/siem", d: "/deliveries", e: "/events", v: "/verify", k: "/api-keys", u: "/users", n: "/notifications", a: "/audit" };
  // When `g` was pressed: by the keyboard's clock, so that a page which is busy in between does not forget it.
  let going = -Infinity;
  const find = () => {
    const search = document.querySelector("[data-search]");
    search?.focus();
    search?.select();
    return search !== null;
  };
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
      event.preventDefault();
      if (!find()) location.assign("/events#find");
    } else if (event.key === "g") {
      going = event.timeStamp;
    } else if (event.key === "?") {
      const help = document.getElementById("shortcuts");
      if (help && !document.querySelector("dialog[open]")) help.showModal();
    } else if (places[event.key] && event.timeStamp - going < 1500) {
      // What is for admins alone leads nobody else to a refusal.
      if (event.key === "v" || document.querySelector(`.rail a[href="${places[event.key]}"]`)) location.assign(places[event.key]);
    } else {
      going = -Infinity;
    }
  });

  // ---- Pasting: the server says which part goes in which field of the form. Only what replaces a whole field is asked about.
  document.addEventListener("paste", async (event) => {
    const input = event.target.closest?.("[data-paste]");
    const pasted = event.clipboardData?.getData("text");
    if (!input || !pasted || input.selectionEnd - input.selectionStart < input.value.length) return;
    const { elements } = input.form;
    const body = new URLSearchParams({ csrf: csrf(), platform: elements.platform.value, pasted });
    const saying = document.getElementById(`${input.id}-said`);
    const answer = await fetch(input.dataset.paste, { method: "POST", body, headers: { "HX-Request": "true" } }).catch(() => null);
    if (!answer?.ok || !isOurs(answer)) {
      saying.textContent = "This could not be read: the server did not respond as expected. Fill in the fields yourself, or paste it again.";
      return;
    }
    const { fields, said, not_understood: left } = await answer.json();
    for (const [name, value] of Object.entries(fields)) {
      if (elements[name]?.type === "checkbox") elements[name].checked = value !== "";
      else if (elements[name]) elements[name].value = value;
    }
    // What was taken elsewhere does not stay where it was pasted.
    if (Object.keys(fields).length && !(input.name in fields)) input.value = "";
    saying.textContent = [said, left.length && `Not understood: ${left.join("; ")}.`].filter(Boolean).join(" ");
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

  // ---- What became of a request. Each answer of the server says that it is the page's own; whatever else comes is somebody else's.
  const isOurs = (answer) => answer.headers.has("Toktra-Page");
  const inSight = (element) => {
    element.tabIndex = -1;
    element.focus({ preventScroll: true });
    element.scrollIntoView({ block: "center" });
  };
  const unanswered = (status) => {
    const notice = document.getElementById("unanswered").content.firstElementChild.cloneNode(true);
    if (status) notice.querySelector("b").textContent = `Something on the way to the server responded with status ${status}.`;
    notice.dataset.unanswered = "";
    const notices = document.getElementById("notices");
    notices.replaceChildren(notice);
    inSight(notice);
  };
  // A form that was not accepted leads to the first field that has to be corrected.
  const lead = (summary) => {
    const wrong = Array.from(document.querySelectorAll('main [aria-invalid="true"]'));
    const first = wrong.find((input) => input.closest("details:not([open])") || input.offsetParent !== null);
    const folded = first?.closest("details");
    if (folded) folded.open = true;
    if (first) first.focus();
    else if (summary) inSight(summary);
  };

  // ---- A button that was pressed is busy until there is an answer, and does nothing more until then.
  const busy = new Set();
  const begin = (button) => {
    if (!button) return;
    busy.add(button);
    button.setAttribute("aria-busy", "true");
    button.setAttribute("aria-disabled", "true");
  };
  const end = (button) => {
    busy.delete(button);
    button.removeAttribute("aria-busy");
    button.removeAttribute("aria-disabled");
  };
  // A browser that leaves a form for a server that is gone shows a page of its own: whether it is there is asked first, by what everybody
  // may load who sees a page.
  const asked = new WeakSet();
  const ask = async (form, button) => {
    const answer = await fetch(root.querySelector('link[rel="icon"]').href, { cache: "no-store", signal: AbortSignal.timeout(10000) }).catch(() => null);
    if (button) end(button);
    if (!answer || !isOurs(answer)) {
      unanswered(answer?.status);
      return;
    }
    // An update of the page may have taken the form away meanwhile.
    if (!form.isConnected) root.append(form);
    asked.add(form);
    form.requestSubmit(button);
  };
  document.addEventListener("submit", (event) => {
    const { target: form, submitter: button } = event;
    if (busy.has(button) && !asked.has(form)) {
      event.preventDefault();
      event.stopPropagation();
      return;
    }
    // A form that is sent twice is done once. What all look at comes without a key.
    const key = form.elements.idempotency_key;
    if (key?.value === "") key.value = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
    begin(button);
    const byScript = form.hasAttribute("hx-post") || form.hasAttribute("hx-get") || button?.hasAttribute("hx-post");
    if (byScript || form.method !== "post" || asked.delete(form)) return;
    event.preventDefault();
    ask(form, button);
  }, true);
  const pressed = ({ sourceElement, sourceEvent }) => sourceEvent?.submitter ?? (sourceElement.matches("button") ? sourceElement : null);
  document.addEventListener("htmx:before:request", (event) => begin(pressed(event.detail.ctx)));
  document.addEventListener("htmx:finally:request", (event) => {
    const button = pressed(event.detail.ctx);
    if (button) end(button);
  });
  document.addEventListener("htmx:before:response", (event) => {
    const { raw, status } = event.detail.ctx.response;
    if (isOurs(raw)) {
      document.querySelector("#notices [data-unanswered]")?.remove();
      return;
    }
    event.preventDefault();
    unanswered(status);
  });
  document.addEventListener("htmx:error", (event) => {
    if (event.detail.ctx?.request) unanswered();
  });

  // A page that one goes back to is sent anew, not again.
  window.addEventListener("pageshow", (event) => {
    busy.forEach(end);
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
    zoned(within);
    mornings(within);
    for (const button of within.querySelectorAll("[data-reveal][hidden]")) button.hidden = false;
    for (const fault of within.querySelectorAll(".field > .fault")) {
      const wrong = fault.textContent.trim() !== "";
      for (const input of fault.parentElement.querySelectorAll("input, select, textarea")) {
        if (wrong) input.setAttribute("aria-invalid", "true");
        else input.removeAttribute("aria-invalid");
      }
    }
  };
  document.addEventListener("htmx:after:swap", (event) => {
    marked(document);
    const target = event.detail.ctx.target;
    if (target?.id === "notices") inSight(target.lastElementChild ?? target);
    if (target?.id === "form-summary" && target.childElementCount > 0) lead(target);
  });
  setInterval(() => times(document), 20000);
  marked(document);
  lead(null);
  if (location.hash === "#find") find();
})();
