"use strict";
const $ = (id) => document.getElementById(id);
const MOST_IN_FLIGHT = 2; // one is looked at while the next one travels; more would only be late
const SHORT_SIDE_PX = 480, QUALITY = 0.8, HEADER_BYTES = 25;
const camera = $("camera"), puppet = $("puppet"), context = puppet.getContext("2d");
const still = document.createElement("canvas");
let socket = null, inFlight = 0, times = [], delays = [], stages = null, stream = null;

function tell(text, isError = false) {
  $("message").textContent = text;
  $("message").classList.toggle("error", isError);
}

function connect() {
  const token = new URLSearchParams(location.search).get("token");
  socket = new WebSocket(`ws://${location.host}/frames?token=${encodeURIComponent(token)}`);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => { inFlight = 0; tell(""); };
  socket.onmessage = (event) => typeof event.data === "string" ? onText(JSON.parse(event.data)) : onPicture(event.data);
  socket.onclose = (event) => tell(event.reason || "mueca live has ended; start it again and open its new address", true);
}

function onText(message) {
  if (message.answers === "frame") inFlight = Math.max(0, inFlight - 1);
  if (message.error) tell(message.error, true); else if (message.told) tell(message.told);
}

async function onPicture(data) {
  inFlight = Math.max(0, inFlight - 1);
  const view = new DataView(data);
  const sent = view.getFloat64(0, true);
  stages = [8, 12, 16, 20].map((at) => view.getFloat32(at, true));
  $("lost").hidden = !view.getUint8(24);
  const picture = await createImageBitmap(new Blob([new Uint8Array(data, HEADER_BYTES)], { type: "image/jpeg" }));
  if (puppet.width !== picture.width) { puppet.width = picture.width; puppet.height = picture.height; }
  context.drawImage(picture, 0, 0);
  picture.close();
  const now = performance.now();
  times.push(now); delays.push(now - sent);
}

function send(now) {
  if (!socket || socket.readyState !== WebSocket.OPEN || inFlight >= MOST_IN_FLIGHT || !camera.videoWidth) return;
  const scale = Math.min(1, SHORT_SIDE_PX / Math.min(camera.videoWidth, camera.videoHeight));
  const width = Math.round(camera.videoWidth * scale), height = Math.round(camera.videoHeight * scale);
  if (still.width !== width || still.height !== height) { still.width = width; still.height = height; }
  still.getContext("2d", { willReadFrequently: false }).drawImage(camera, 0, 0, width, height);
  inFlight += 1;
  still.toBlob(async (blob) => {
    if (!blob || socket.readyState !== WebSocket.OPEN) { inFlight = Math.max(0, inFlight - 1); return; }
    const message = new Uint8Array(8 + blob.size);
    new DataView(message.buffer).setFloat64(0, now, true);
    message.set(new Uint8Array(await blob.arrayBuffer()), 8);
    socket.send(message);
  }, "image/jpeg", QUALITY);
}

function onFrame(now) {
  send(performance.now());
  camera.requestVideoFrameCallback(onFrame);
}

async function openCamera(deviceId) {
  if (stream) stream.getTracks().forEach((track) => track.stop());
  try {
    const wanted = { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 30 } };
    stream = await navigator.mediaDevices.getUserMedia({
      video: deviceId ? { ...wanted, deviceId: { exact: deviceId } } : wanted, audio: false });
  } catch (error) {
    tell(error.name === "NotAllowedError" ? "the camera was refused: allow it in the address bar and reload"
      : error.name === "NotFoundError" ? "no camera was found: plug one in and reload"
      : `the camera can't be opened (${error.name}): close what else uses it and reload`, true);
    return;
  }
  stream.getVideoTracks()[0].onended = () => tell("the camera was unplugged: plug it in and reload", true);
  camera.srcObject = stream;
  await camera.play();
  await listCameras();
  camera.requestVideoFrameCallback(onFrame);
}

async function listCameras() {
  const found = (await navigator.mediaDevices.enumerateDevices()).filter((d) => d.kind === "videoinput");
  const chosen = stream.getVideoTracks()[0].getSettings().deviceId;
  $("cameras").replaceChildren(...found.map((d, k) => new Option(d.label || `camera ${k + 1}`, d.deviceId, false, d.deviceId === chosen)));
}

function order(what) {
  if (socket && socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(what));
}

function toggle(button, name) {
  const on = button.getAttribute("aria-pressed") !== "true";
  button.setAttribute("aria-pressed", String(on));
  order({ do: name, on });
}

$("calibrate").onclick = () => order({ do: "calibrate" });
$("freeze").onclick = () => toggle($("freeze"), "freeze");
$("record").onclick = () => toggle($("record"), "record");
$("condition").onchange = () => order({ do: "view", view: $("condition").checked ? "condition" : "result" });
$("cameras").onchange = () => openCamera($("cameras").value);

const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];
window.readout = () => {
  const since = performance.now() - 2000;
  while (times.length && times[0] < since) { times.shift(); delays.shift(); }
  return { fps: times.length / 2, delay_ms: delays.length ? median(delays) : null, stages_ms: stages };
};
setInterval(() => {
  const { fps, delay_ms } = window.readout();
  if (delay_ms !== null) $("readout").textContent = `${fps.toFixed(0)} frames a second, ${delay_ms.toFixed(0)} ms late`;
}, 500);

connect();
openCamera();
