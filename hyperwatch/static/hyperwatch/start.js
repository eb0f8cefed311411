"use strict";

const MAX_ROWS = 20;
const HELLO_INTERVAL_MS = 2000;
const MIN_RECONNECT_MS = 500;
const MAX_RECONNECT_MS = 10000;

const state = document.getElementById("state");
const rows = document.getElementById("liquidations");
const noRows = document.getElementById("no-rows");
let previous = null;

function cell(text, className) {
  const td = document.createElement("td");
  td.textContent = text;
  td.className = className || "";
  return td;
}

function grouped(digits) {
  return digits.replace(/\B(?=(\d{3})+$)/g, ",");
}

// Decimals are text and never become floats. Rounds half-even, like the server.
function rounded(text, places) {
  const [whole, fraction] = text.split(".");
  const unit = 10n ** BigInt(fraction.length - places);
  let units = BigInt(whole + fraction) / unit;
  const twice = 2n * (BigInt(whole + fraction) % unit);
  if (twice > unit || (twice === unit && units % 2n)) units += 1n;
  const digits = String(units).padStart(places + 1, "0");
  return grouped(digits.slice(0, -places)) + "." + digits.slice(-places);
}

// Orders by block time, then by seq, like the API. Times without Z compare as text.
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
  // A late fact is inserted below newer ones.
  const older = [...rows.children].find((row) => isOlder(row, liquidation));
  rows.insertBefore(tr, older || null);
  while (rows.children.length > MAX_ROWS) rows.lastElementChild.remove();
}

function showHeads(channels) {
  const now = performance.now();
  for (const row of document.querySelectorAll("[data-channel]")) {
    const channel = channels[row.dataset.channel];
    if (!channel) continue;
    row.children[1].textContent = grouped(String(channel.head));
    if (previous && now > previous.at) {
      const added = channel.head - previous.channels[row.dataset.channel].head;
      row.children[2].textContent = (added / ((now - previous.at) / 1000)).toFixed(1);
    }
  }
  previous = { channels, at: now };
}

async function showRecent() {
  const response = await fetch(`/api/v1/liquidations/recent?limit=${MAX_ROWS}`);
  const body = await response.json();
  if (!response.ok) {
    state.textContent = body.error;
    return;
  }
  noRows.textContent = "None yet.";
  body.data.liquidations.forEach(show);
}

function connect(reconnectMs) {
  const socket = new WebSocket(location.origin.replace(/^http/, "ws") + "/ws?hello=1");
  let helloTimer;
  socket.onopen = () => {
    reconnectMs = MIN_RECONNECT_MS;
    state.textContent = "live";
    socket.send(JSON.stringify({ type: "subscribe", channels: ["liquidations"] }));
    helloTimer = setInterval(() => socket.send(JSON.stringify({ type: "hello" })), HELLO_INTERVAL_MS);
  };
  socket.onmessage = ({ data }) => {
    const frame = JSON.parse(data);
    if (frame.type === "liquidation") show(frame.data);
    // Requested after the subscription begins: facts in both appear once, and none is missed.
    if (frame.type === "subscribed") showRecent().catch(() => socket.close());
    if (frame.type === "connected") showHeads(frame.channels);
  };
  socket.onclose = () => {
    clearInterval(helloTimer);
    previous = null;
    state.textContent = "connecting…";
    setTimeout(connect, reconnectMs * (0.5 + Math.random()), Math.min(reconnectMs * 2, MAX_RECONNECT_MS));
  };
}

connect(MIN_RECONNECT_MS);
