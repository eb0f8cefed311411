"use strict";

const SHOWN = 20;
const ASK_EVERY = 2000;

const state = document.getElementById("state");
const rows = document.getElementById("liquidations");
const none = document.getElementById("none");
let before = null;

function cell(text, className) {
  const td = document.createElement("td");
  td.textContent = text;
  td.className = className || "";
  return td;
}

function grouped(digits) {
  return digits.replace(/\B(?=(\d{3})+$)/g, ",");
}

// Decimals arrive as text and never become floats: rounded half-even, as everywhere here.
function rounded(text, places) {
  const [whole, fraction] = text.split(".");
  const unit = 10n ** BigInt(fraction.length - places);
  let units = BigInt(whole + fraction) / unit;
  const twice = 2n * (BigInt(whole + fraction) % unit);
  if (twice > unit || (twice === unit && units % 2n)) units += 1n;
  const digits = String(units).padStart(places + 1, "0");
  return grouped(digits.slice(0, -places)) + "." + digits.slice(-places);
}

// By the fact's own time, ties by seq, as the API lists them. Without its Z an earlier time is a smaller text.
function isOlder(row, liquidation) {
  const time = liquidation.block_timestamp.slice(0, -1);
  return row.dataset.time < time || (row.dataset.time === time && Number(row.dataset.seq) < liquidation.seq);
}

function show(liquidation) {
  if (rows.querySelector(`[data-seq="${liquidation.seq}"]`)) return;
  const tr = document.createElement("tr");
  tr.dataset.seq = liquidation.seq;
  tr.dataset.time = liquidation.block_timestamp.slice(0, -1);
  tr.append(
    cell(liquidation.block_timestamp.replace("T", " ").slice(0, 19)),
    cell(liquidation.coin),
    cell(liquidation.side, liquidation.side),
    cell(rounded(liquidation.liquidation_value_usd, 2), "number"),
    cell(liquidation.liquidation_price.replace(/\.?0+$/, ""), "number"),
    cell(liquidation.user_address.slice(0, 6) + "…" + liquidation.user_address.slice(-4)),
  );
  rows.querySelector(".empty")?.remove();
  // One that comes late has its place further down.
  const older = [...rows.children].find((row) => isOlder(row, liquidation));
  rows.insertBefore(tr, older || null);
  while (rows.children.length > SHOWN) rows.lastElementChild.remove();
}

function showHeads(channels) {
  const now = performance.now();
  for (const row of document.querySelectorAll("[data-channel]")) {
    const place = channels[row.dataset.channel];
    if (!place) continue;
    row.children[1].textContent = grouped(String(place.head));
    if (before && now > before.at) {
      const gained = place.head - before.channels[row.dataset.channel].head;
      row.children[2].textContent = (gained / ((now - before.at) / 1000)).toFixed(1);
    }
  }
  before = { channels, at: now };
}

async function showRecent() {
  const answer = await fetch(`/api/v1/liquidations/recent?limit=${SHOWN}`);
  const body = await answer.json();
  if (!answer.ok) {
    state.textContent = body.error;
    return;
  }
  none.textContent = "None yet.";
  body.data.liquidations.forEach(show);
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
    if (frame.type === "subscribed") showRecent().catch(() => socket.close());
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
