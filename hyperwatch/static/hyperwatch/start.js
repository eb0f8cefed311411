"use strict";

const SHOWN = 20;
const ASK_EVERY = 2000;

const state = document.getElementById("state");
const rows = document.getElementById("liquidations");
let before = null;

function cell(text, className) {
  const td = document.createElement("td");
  td.textContent = text;
  td.className = className || "";
  return td;
}

// Decimals arrive as text and stay text: grouped and cut for the eye, never parsed.
function grouped(text, places) {
  const [whole, fraction] = text.split(".");
  return whole.replace(/\B(?=(\d{3})+$)/g, ",") + (places ? "." + fraction.slice(0, places) : "");
}

function show(liquidation) {
  if (rows.querySelector(`[data-seq="${liquidation.seq}"]`)) return;
  const tr = document.createElement("tr");
  tr.dataset.seq = liquidation.seq;
  tr.append(
    cell(liquidation.block_timestamp.replace("T", " ").slice(0, 19)),
    cell(liquidation.coin),
    cell(liquidation.side, liquidation.side),
    cell(grouped(liquidation.liquidation_value_usd, 2), "number"),
    cell(liquidation.liquidation_price.replace(/\.?0+$/, ""), "number"),
    cell(liquidation.user_address.slice(0, 6) + "…" + liquidation.user_address.slice(-4)),
  );
  rows.querySelector(".empty")?.remove();
  // A fact that comes late finds its place by seq, like everything here.
  const older = [...rows.children].find((row) => Number(row.dataset.seq) < liquidation.seq);
  rows.insertBefore(tr, older || null);
  while (rows.children.length > SHOWN) rows.lastElementChild.remove();
}

function showHeads(channels) {
  const now = performance.now();
  for (const row of document.querySelectorAll("[data-channel]")) {
    const place = channels[row.dataset.channel];
    if (!place) continue;
    row.children[1].textContent = grouped(String(place.head));
    if (before) {
      const gained = place.head - before.channels[row.dataset.channel].head;
      row.children[2].textContent = (gained / ((now - before.at) / 1000)).toFixed(1);
    }
  }
  before = { channels, at: now };
}

async function showRecent() {
  const answer = await fetch(`/api/v1/liquidations/recent?limit=${SHOWN}`);
  const body = await answer.json();
  body.data.liquidations.reverse().forEach(show);
}

function connect(pause) {
  const socket = new WebSocket(location.origin.replace(/^http/, "ws") + "/ws?hello=1");
  let asking;
  socket.onopen = () => {
    pause = 500;
    state.textContent = "live";
    socket.send(JSON.stringify({ type: "subscribe", channels: ["liquidations"] }));
    asking = setInterval(() => socket.send(JSON.stringify({ type: "hello" })), ASK_EVERY);
  };
  socket.onmessage = ({ data }) => {
    const frame = JSON.parse(data);
    if (frame.type === "liquidation") show(frame.data);
    // Asked for once the stream is on: what came in between is in both and shown once.
    if (frame.type === "subscribed") showRecent();
    if (frame.type === "connected") showHeads(frame.channels);
  };
  socket.onclose = () => {
    clearInterval(asking);
    before = null;
    state.textContent = "connecting…";
    setTimeout(connect, pause * (0.5 + Math.random()), Math.min(pause * 2, 10000));
  };
}

connect(500);
