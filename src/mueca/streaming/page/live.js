"use strict";
const $ = (id) => document.getElementById(id);
const MOST_IN_FLIGHT = 3; // one is painted, one waits, and a newer one takes its place: see benchmarks/live.py
const SHORT_SIDE_PX = 480, QUALITY = 0.8, HEADER_BYTES = 33;
const camera = $("camera"), puppet = $("puppet"), context = puppet.getContext("2d");
const still = document.createElement("canvas");
const STAGES = ["decode", "follow", "retarget", "paint", "encode", "all"];
let socket = null, inFlight = [], times = [], delays = [], stages = null, stream = null, filmSince = null, isWatching = false;

function tell(text, isError = false) {
  $("message").textContent = text;
  $("message").classList.toggle("error", isError);
}

function connect() {
  const token = new URLSearchParams(location.search).get("token");
  socket = new WebSocket(`ws://${location.host}/frames?token=${encodeURIComponent(token)}`);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => { inFlight = []; tell(""); showView(); };
  socket.onmessage = (event) => typeof event.data === "string" ? onText(JSON.parse(event.data)) : onPicture(event.data);
  socket.onclose = (event) => {
    filmSince = null;
    showFilm();
    closeCamera();
    for (const control of document.querySelectorAll("button, select, input")) control.disabled = true;
    $("readout").textContent = "";
    tell(event.reason || "mueca live has ended; start it again and open its new address", true);
  };
}

function onText(message) {
  if (message.answers === "frame") inFlight.shift();
  if (message.error) tell(message.error, true); else if (message.told) tell(message.told);
  press("freeze", message.frozen);
  press("record", message.recording);
  $("frozen").hidden = !message.frozen;
  filmSince = message.recording ? filmSince ?? performance.now() : null;
  showFilm();
}

function press(id, on) { $(id).setAttribute("aria-pressed", String(Boolean(on))); }

function showFilm() {
  $("film").hidden = filmSince === null;
  const seconds = filmSince === null ? 0 : Math.floor((performance.now() - filmSince) / 1000);
  $("film").textContent = `recording ${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

async function onPicture(data) {
  const view = new DataView(data);
  const sent = view.getFloat64(0, true);
  inFlight = inFlight.filter((other) => other > sent); // older ones were dropped for this one
  stages = Object.fromEntries(STAGES.map((name, k) => [name, view.getFloat32(8 + 4 * k, true)]));
  $("lost").hidden = !view.getUint8(8 + 4 * STAGES.length);
  const picture = await createImageBitmap(new Blob([new Uint8Array(data, HEADER_BYTES)], { type: "image/jpeg" }));
  if (puppet.width !== picture.width) { puppet.width = picture.width; puppet.height = picture.height; arrange(); }
  context.drawImage(picture, 0, 0);
  picture.close();
  const now = performance.now();
  times.push(now); delays.push(now - sent);
}

function arrange() { // side by side at one height, each picture whole: the badge is in its corner
  const aspects = [camera.videoWidth / camera.videoHeight || 4 / 3, puppet.width / puppet.height];
  [camera, puppet].forEach((picture, k) => picture.parentElement.style.setProperty("--aspect", aspects[k]));
  $("pictures").style.setProperty("--aspects", aspects[0] + aspects[1]);
}

function send(now) {
  if (!socket || socket.readyState !== WebSocket.OPEN || inFlight.length >= MOST_IN_FLIGHT || !camera.videoWidth) return;
  const scale = Math.min(1, SHORT_SIDE_PX / Math.min(camera.videoWidth, camera.videoHeight));
  const width = Math.round(camera.videoWidth * scale), height = Math.round(camera.videoHeight * scale);
  if (still.width !== width || still.height !== height) { still.width = width; still.height = height; }
  still.getContext("2d", { willReadFrequently: false }).drawImage(camera, 0, 0, width, height);
  inFlight.push(now);
  still.toBlob(async (blob) => {
    if (!blob || socket.readyState !== WebSocket.OPEN) { inFlight = inFlight.filter((other) => other !== now); return; }
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

function closeCamera() {
  if (stream) stream.getTracks().forEach((track) => track.stop());
  stream = null;
}

async function openCamera(deviceId) {
  closeCamera();
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
  if (socket.readyState > WebSocket.OPEN) return closeCamera();
  stream.getVideoTracks()[0].onended = () => tell("the camera was unplugged: plug it in and reload", true);
  camera.srcObject = stream;
  await camera.play();
  arrange();
  await listCameras();
  if (!isWatching) camera.requestVideoFrameCallback(onFrame);
  isWatching = true;
}

async function listCameras() {
  const found = (await navigator.mediaDevices.enumerateDevices()).filter((d) => d.kind === "videoinput");
  const chosen = stream.getVideoTracks()[0].getSettings().deviceId;
  $("cameras").replaceChildren(...found.map((d, k) => new Option(d.label || `camera ${k + 1}`, d.deviceId, false, d.deviceId === chosen)));
}

function order(what) {
  if (socket && socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(what));
}

function toggle(name) {
  order({ do: name, on: $(name).getAttribute("aria-pressed") !== "true" });
}

function showView() { // a browser may keep the tick when the page is loaded again
  order({ do: "view", view: $("condition").checked ? "condition" : "result" });
}

$("calibrate").onclick = () => order({ do: "calibrate" });
$("freeze").onclick = () => toggle("freeze");
$("record").onclick = () => toggle("record");
$("condition").onchange = showView;
$("cameras").onchange = () => openCamera($("cameras").value);

document.onkeydown = (event) => {
  const id = { c: "calibrate", f: "freeze", r: "record" }[event.key.toLowerCase()];
  if (id && !event.ctrlKey && !event.metaKey && !event.altKey && event.target.tagName !== "SELECT") $(id).click();
};

const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];
window.readout = () => {
  const since = performance.now() - 2000;
  while (times.length && times[0] < since) { times.shift(); delays.shift(); }
  return { fps: times.length / 2, delay_ms: delays.length ? median(delays) : null, stages_ms: stages };
};
function show(number, unit) {
  const bold = document.createElement("b");
  bold.textContent = number;
  return [bold, ` ${unit}`];
}

setInterval(() => {
  const { fps, delay_ms } = window.readout();
  showFilm();
  if (delay_ms === null || socket.readyState !== WebSocket.OPEN) return;
  const parts = [...show(fps.toFixed(0), "frames a second, "), ...show(delay_ms.toFixed(0), "ms late")];
  if (stages) parts.push(`: face ${stages.follow.toFixed(0)}, painting ${stages.paint.toFixed(0)}`);
  $("readout").replaceChildren(...parts);
}, 500);

arrange();
connect();
openCamera();
