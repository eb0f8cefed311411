// Runs the start page's script on as much of a browser as it uses: the frames in argv arrive, the rows are printed.
"use strict";

const fs = require("fs");
const [script, frames, recent] = process.argv.slice(2);

class Node {
  constructor() {
    this.children = [];
    this.dataset = {};
  }
  append(...nodes) {
    this.children.push(...nodes);
  }
  insertBefore(node, before) {
    this.children.splice(before ? this.children.indexOf(before) : this.children.length, 0, node);
  }
  querySelector(selector) {
    const seq = /seq="(\d+)"/.exec(selector);
    return seq ? this.children.find((node) => String(node.dataset.seq) === seq[1]) : undefined;
  }
  get lastElementChild() {
    const node = this.children[this.children.length - 1];
    return { remove: () => this.children.splice(this.children.indexOf(node), 1) };
  }
}

const nodes = { state: new Node(), liquidations: new Node(), "no-rows": new Node() };
const sockets = [];
Object.assign(globalThis, {
  document: { getElementById: (id) => nodes[id], createElement: () => new Node(), querySelectorAll: () => [] },
  location: { origin: "http://localhost" },
  fetch: async () => JSON.parse(recent, (key, value) => (key === "json" ? async () => value : value)),
  setInterval: () => 0,
  WebSocket: class {
    constructor() {
      sockets.push(this);
    }
    send() {}
    close() {}
  },
});

(0, eval)(fs.readFileSync(script, "utf8"));
sockets[0].onopen();
JSON.parse(frames).forEach((frame) => sockets[0].onmessage({ data: JSON.stringify(frame) }));
setTimeout(() => {
  const rows = nodes.liquidations.children.map((row) => row.children.map((cell) => cell.textContent));
  console.log(JSON.stringify({ rows, state: nodes.state.textContent, none: nodes["no-rows"].textContent }));
}, 10);
