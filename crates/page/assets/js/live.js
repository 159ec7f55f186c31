// One stream of live updates for all tabs of a browser. As a shared worker this file holds the stream; in a page it is the way to that
// worker. Where a browser has no shared workers, each tab in front has a stream of its own; where nothing brings a stream through, it asks
// every few seconds instead.
"use strict";
(() => {
  const SILENCE = 15000; // The server speaks every 6 s at least.
  const FIRST = 6000; // And at once where nothing keeps it back.
  const POLL = 5000;
  const LONGEST_PAUSE = 15000;
  const TAB_GONE = 60000; // Tabs say every 20 s that they are there.

  // ---- What holds the stream: tabs join by a port, say which views they show in which version, and are told what comes.
  const hub = () => {
    const tabs = new Map();
    let source = null;
    let asked = "";
    let tries = 0;
    let heardAt = Date.now();
    let turn = 0; // Which way is the present one: what another still brings is too late.
    let failing = new Map(); // Views that the server cannot make, and since when.
    let [opening, quiet, retry] = [0, 0, 0];

    // Each view in the version that all tabs have, or from the beginning.
    const wanted = () => {
      const views = new Map();
      for (const [port, tab] of tabs) {
        if (Date.now() - tab.at > TAB_GONE) tabs.delete(port);
        else for (const [view, version] of tab.views) views.set(view, views.has(view) && views.get(view) !== version ? 0 : version);
      }
      return views;
    };
    const address = () => {
      const query = new URLSearchParams();
      for (const [view, version] of wanted()) query.append("view", `${view}@${version}`);
      return `/live?${query}`;
    };
    // Not before the first try to connect again has failed.
    const isLost = () => tries > 1 || Date.now() - heardAt > SILENCE;
    // Since when what a tab shows is not live.
    const since = ({ views }) => {
      if (isLost()) return heardAt;
      const broken = [...views.keys()].filter((view) => failing.has(view)).map((view) => failing.get(view));
      return broken.length > 0 ? Math.min(...broken) : null;
    };
    const report = () => {
      for (const [port, tab] of tabs) {
        const now = since(tab);
        if (tab.told !== now) port.postMessage({ since: now });
        tab.told = now;
      }
    };
    const stop = () => {
      turn += 1;
      source?.close();
      source = null;
      clearTimeout(quiet);
      clearTimeout(retry);
    };
    const heard = (data) => {
      heardAt = Date.now();
      tries = 0;
      const message = JSON.parse(data);
      if (!message.view) failing = new Map((message.failing ?? []).map((view) => [view, failing.get(view) ?? heardAt]));
      report();
      if (!message.view) return;
      let behind = false;
      for (const [port, { views }] of tabs) {
        if (!views.has(message.view) || views.get(message.view) === message.version) continue;
        if (message.since !== 0 && message.since !== views.get(message.view)) {
          views.set(message.view, 0);
          behind = true;
          continue;
        }
        views.set(message.view, message.version);
        port.postMessage(message);
      }
      if (behind) open();
    };
    const lost = () => {
      stop();
      tries += 1;
      report();
      const pause = Math.min(LONGEST_PAUSE, 500 * 2 ** Math.min(tries, 6)) * (0.7 + 0.3 * Math.random());
      // Every other time without a stream: something on the way may keep it back.
      retry = setTimeout(tries % 2 === 0 ? poll : start, pause);
    };
    const start = () => {
      stop();
      if (wanted().size === 0) return;
      source = new EventSource(address());
      quiet = setTimeout(lost, FIRST);
      const mine = turn;
      source.onmessage = (event) => {
        if (mine !== turn) return;
        clearTimeout(quiet);
        quiet = setTimeout(lost, SILENCE);
        heard(event.data);
      };
      source.onerror = lost;
    };
    const poll = async (left = 12) => {
      if (wanted().size === 0) return;
      if (left === 0) {
        start();
        return;
      }
      const mine = turn;
      try {
        const answer = await fetch(`${address()}&once=yes`, { signal: AbortSignal.timeout(SILENCE) });
        if (!answer.ok || answer.redirected) throw new Error(`status ${answer.status}`);
        const text = await answer.text();
        for (const line of text.split("\n")) if (mine === turn && line.startsWith("data: ")) heard(line.slice(6));
        if (mine === turn) retry = setTimeout(() => poll(left - 1), POLL);
      } catch {
        if (mine === turn) lost();
      }
    };
    // Soon, and once for all tabs that come or go together.
    const open = () => {
      clearTimeout(opening);
      opening = setTimeout(() => {
        const views = wanted();
        const names = [...views.keys()].sort().join();
        if (source && names === asked && ![...views.values()].includes(0)) return;
        asked = names;
        start();
      }, 50);
    };
    return (port) => {
      // `shown` has the version of each view; of `lacking` the tab has not what its version should have.
      port.onmessage = ({ data: { shown = {}, lacking = null } }) => {
        if (tabs.size === 0) heardAt = Date.now();
        const tab = tabs.get(port);
        const known = tab?.views ?? new Map();
        const version = (view, told) => (view === lacking ? 0 : (known.get(view) ?? told));
        const views = new Map(Object.entries(shown).map(([view, told]) => [view, version(view, told)]));
        if (views.size === 0) tabs.delete(port);
        else tabs.set(port, { views, at: Date.now(), told: tab?.told });
        if (lacking === null && String([...known.keys()]) === String([...views.keys()])) return;
        open();
        report();
      };
    };
  };

  if ("onconnect" in self) {
    const join = hub();
    self.onconnect = (event) => join(event.ports[0]);
    return;
  }

  // ---- In a page: the parts that are live, and what they show.
  const here = document.currentScript.src;
  const versions = new Map();
  const places = () => new Map(Array.from(document.querySelectorAll("[data-live]"), (place) => [place.dataset.live, place]));
  // What is looked at, and what is drawn anew when that changes.
  const wanted = () => Array.from(document.querySelectorAll("[data-live], [data-follows]"), ({ dataset }) => dataset.live ?? dataset.follows);
  let port = null;

  const watch = (lacking = null) => {
    const views = document.hidden ? [] : [...new Set(wanted())];
    if (views.length === 0 && !port) return;
    port ??= connect();
    port.postMessage({ shown: Object.fromEntries(views.map((view) => [view, versions.get(view) ?? 0])), lacking });
  };

  // Rows that stay as they are come as empty ones; and what belongs to this visitor alone is filled in. `null` if a row that is meant is not
  // here.
  const filled = (html) => {
    const token = document.querySelector('input[name="csrf"]')?.value ?? "";
    const own = html.replaceAll('name="csrf" value=""', `name="csrf" value="${token}"`);
    const changed = [...own.matchAll(/<hx-partial hx-target="#([^"]+)"/g)];
    let whole = changed.every(([, id]) => document.getElementById(id));
    const all = own.replace(/<tr id="([^"]+)" data-same><\/tr>/g, (_, id) => {
      const row = document.getElementById(id);
      whole &&= row !== null;
      return row?.outerHTML ?? "";
    });
    return whole ? all : null;
  };
  let showing = Promise.resolve();
  const show = async ({ view, version, html }) => {
    const place = places().get(view);
    if (!place) {
      // The first that comes as well: it may be newer than the page.
      versions.set(view, version);
      follow(view);
      return;
    }
    if (html === null) {
      versions.set(view, version);
      place.removeAttribute("data-live");
      return;
    }
    const text = filled(html);
    if (text === null) {
      versions.delete(view);
      watch(view);
      return;
    }
    versions.set(view, version);
    const target = place.closest(place.dataset.liveInto ?? "[data-live]");
    await htmx.swap({ sourceElement: place, target, swap: place.dataset.liveSwap ?? "innerMorph", text });
    follow(view);
  };

  // ---- What is drawn of the same figures is drawn anew a moment after they changed, with whatever the address says of it.
  const follow = (view) => {
    for (const part of document.querySelectorAll(`[data-follows="${view}"]`)) {
      if (part.dataset.soon) continue;
      part.dataset.soon = "yes";
      setTimeout(() => {
        delete part.dataset.soon;
        if (!document.hidden) htmx.ajax("GET", part.dataset.part + location.search, { target: part, swap: "innerMorph" });
      }, 5000);
    }
  };

  // ---- Whether what the page shows is how things stand.
  const stale = (since) => {
    const notice = document.getElementById("stale");
    if (!notice || notice.hidden === (since === null)) return;
    notice.hidden = since === null;
    const at = new Date(since ?? 0);
    const clock = document.documentElement.dataset.zone === "utc" ? `${at.toISOString().slice(11, 19)} UTC` : at.toTimeString().slice(0, 8);
    notice.querySelector("b").textContent = since === null ? "" : `Not live since ${clock}`;
  };

  const told = ({ data }) => {
    if (data.view) showing = showing.then(() => show(data)).then(() => watch()).catch(console.error);
    else stale(data.since);
  };
  const connect = () => {
    const alone = () => {
      const { port1, port2 } = new MessageChannel();
      hub()(port2);
      port1.onmessage = told;
      return port1;
    };
    if (!window.SharedWorker) return alone();
    try {
      const worker = new SharedWorker(here);
      worker.onerror = () => {
        port = alone();
        watch();
      };
      worker.port.onmessage = told;
      return worker.port;
    } catch {
      return alone();
    }
  };

  document.addEventListener("visibilitychange", () => watch());
  document.addEventListener("htmx:after:swap", () => watch());
  window.addEventListener("pagehide", () => port?.postMessage({}));
  window.addEventListener("pageshow", () => watch());
  setInterval(watch, 20000);
})();
