// Drives what holds the stream of live.js, whose text comes on stdin, with a clock, a network and tabs of its own.
"use strict";
const assert = require("node:assert");
const vm = require("node:vm");
const source = require("node:fs").readFileSync(0, "utf8");

const settled = () => new Promise((resolve) => setImmediate(resolve));

const world = () => {
  let now = 1_000_000;
  let timers = [];
  const streams = [];
  const asked = [];
  class EventSource {
    constructor(address) {
      this.address = decodeURIComponent(address);
      streams.push(this);
    }
    close() {
      this.closed = true;
    }
    says(message) {
      if (!this.closed) this.onmessage({ data: JSON.stringify(message) });
    }
  }
  const self = { onconnect: null };
  const context = {
    self,
    EventSource,
    URLSearchParams,
    AbortSignal: { timeout: () => null },
    Date: { now: () => now },
    Math: Object.assign(Object.create(Math), { random: () => 1 }),
    fetch: (address) => new Promise((resolve) => asked.push({ address, answer: (text) => resolve({ ok: true, text: async () => text }) })),
    setTimeout: (run, after) => {
      const timer = { run, at: now + after };
      timers.push(timer);
      return timer;
    },
    clearTimeout: (timer) => {
      timers = timers.filter((other) => other !== timer);
    },
  };
  vm.runInNewContext(source, context);
  return {
    streams,
    asked,
    pass: async (milliseconds) => {
      const until = now + milliseconds;
      for (;;) {
        const [next] = timers.filter((timer) => timer.at <= until).sort((a, b) => a.at - b.at);
        if (!next) break;
        now = next.at;
        timers = timers.filter((other) => other !== next);
        next.run();
        await settled();
      }
      now = until;
    },
    tab: (shown) => {
      const port = { told: [], postMessage: (message) => port.told.push(message) };
      self.onconnect({ ports: [port] });
      port.says = (data) => port.onmessage({ data });
      port.says({ shown });
      return port;
    },
  };
};

const cases = {
  "an answer that comes when a stream has begun is too late": async () => {
    const { streams, asked, pass, tab } = world();
    const first = tab({ "/a/live": 0 });
    await pass(50 + 6000 + 1000 + 6000 + 2000);
    assert.equal(asked.length, 1, "two streams said nothing, so it asks without one");
    tab({ "/b/live": 0 });
    await pass(50);
    const stream = streams.at(-1);
    stream.says({ view: "/a/live", since: 0, version: 2, html: "new" });
    asked[0].answer('data: {"view":"/a/live","since":0,"version":1,"html":"old"}\n\ndata: {}\n\n');
    await settled();
    for (let seconds = 0; seconds < 60; seconds += 5) {
      await pass(5000);
      stream.says({});
    }
    assert.deepEqual([asked.length, streams.at(-1) === stream, stream.closed], [1, true, undefined], "one way at a time");
    assert.deepEqual(first.told.filter((message) => message.view).map(({ html }) => html), ["new"]);
  },
  "who shows what cannot be made is told since when, and nobody else": async () => {
    const { streams, pass, tab } = world();
    const [a, b] = [tab({ "/a/live": 0 }), tab({ "/b/live": 0 })];
    await pass(50);
    const [stream] = streams;
    for (const message of [{}, { failing: ["/a/live"] }, { view: "/b/live", since: 0, version: 1, html: "b" }, { failing: ["/a/live"] }, {}]) {
      stream.says(message);
      await pass(2000);
    }
    const since = (port) => port.told.filter((message) => !message.view).map((message) => message.since);
    assert.deepEqual([since(a), since(b)], [[null, 1_002_050, null], [null]]);
  },
  "a tab that lacks a row is sent the whole": async () => {
    const { streams, pass, tab } = world();
    const port = tab({ "/a/live": 0 });
    await pass(50);
    streams[0].says({ view: "/a/live", since: 0, version: 3, html: "a" });
    port.says({ shown: { "/a/live": 3 } });
    await pass(50);
    assert.equal(streams.length, 1);
    port.says({ shown: { "/a/live": 0 }, lacking: "/a/live" });
    await pass(50);
    assert.deepEqual(streams.map(({ address }) => address), ["/live?view=/a/live@0", "/live?view=/a/live@0"]);
  },
};

(async () => {
  for (const [name, run] of Object.entries(cases)) {
    await run().catch((error) => {
      console.error(name, error);
      process.exitCode = 1;
    });
  }
})();
