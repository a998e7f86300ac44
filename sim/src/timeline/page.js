"use strict";
(function () {
  const scene = JSON.parse(document.getElementById("scene").textContent);
  const canvas = document.getElementById("canvas"), tip = document.getElementById("tip");
  const pen = canvas.getContext("2d");
  const LEFT = 92, TOP = 30, ROOM = 54, BAR = 12, LINES_SHOWN = 500;
  const COLOURS = {
    down: "#39424e", paused: "#8b7bb8", fault: "#e0902f", leader: "#2c6fbb",
    changed: "#2f8f5b", read: "#8fc4a6", refused: "#d9b44a", unknown: "#9aa5b1", failed: "#c4342d",
    elected: "#2c6fbb", "stepped-down": "#2c6fbb", applied: "#6d8fb3", event: "#7a8794"
  };
  const height = TOP + scene.lanes.length * ROOM + 12;
  let from = 0, to = Math.max(scene.end, 1), width = 800, spots = [];

  const x = (at) => LEFT + (at - from) / (to - from) * (width - LEFT - 14);
  const y = (lane) => TOP + lane * ROOM + ROOM / 2;
  const visible = (a, b) => b >= from && a <= to;

  function clock(at, step) {
    const places = step >= 1e6 ? 0 : step >= 1e3 ? 3 : 6;
    return "+" + (at / 1e6).toFixed(places) + " s";
  }

  function axis() {
    const steps = [1, 2, 5, 10, 20, 50, 100, 200, 500];
    const wanted = (to - from) / Math.max(2, (width - LEFT) / 130);
    let step = 1;
    for (let scale = 1; step < wanted; scale *= 1000) {
      step = steps.map((one) => one * scale).find((one) => one >= wanted) || step * 1000;
    }
    pen.textAlign = "center";
    for (let at = Math.ceil(from / step) * step; at <= to; at += step) {
      pen.fillStyle = "#edf1f5";
      pen.fillRect(x(at), TOP - 6, 1, height);
      pen.fillStyle = "#66758a";
      pen.fillText(clock(at, step), x(at), 16);
    }
    pen.textAlign = "left";
  }

  function lanes() {
    scene.lanes.forEach((name, lane) => {
      pen.fillStyle = lane < scene.servers ? "#f6f9fc" : "#fbf9f4";
      pen.fillRect(0, y(lane) - ROOM / 2 + 3, width, ROOM - 6);
    });
  }

  function names() {
    scene.lanes.forEach((name, lane) => {
      pen.fillStyle = "#ffffffd8";
      pen.fillRect(0, y(lane) - ROOM / 2 + 3, LEFT - 6, ROOM - 6);
      pen.fillStyle = "#1d2733";
      pen.font = "600 13px system-ui, sans-serif";
      pen.fillText(name, 12, y(lane) + 4);
    });
    pen.font = "12px system-ui, sans-serif";
  }

  function spot(left, top, wide, high, text) {
    spots.push({ left, top, right: left + wide, bottom: top + high, text });
  }

  function bands() {
    for (const band of scene.bands) {
      if (!visible(band.from, band.to)) continue;
      const left = Math.max(x(band.from), LEFT - 4), wide = Math.max(x(band.to) - left, 2);
      for (const lane of band.lanes) {
        const top = y(lane) - ROOM / 2 + 3;
        if (band.kind === "leader") {
          pen.fillStyle = COLOURS.leader;
          pen.fillRect(left, y(lane) - 2, wide, 4);
          spot(left, y(lane) - 5, wide, 10, band.text);
          continue;
        }
        pen.fillStyle = COLOURS[band.kind] + (band.kind === "down" ? "40" : "33");
        pen.fillRect(left, top, wide, ROOM - 6);
        spot(left, top, wide, ROOM - 6, band.text + "\nfrom " + clock(band.from, 1) + " to " + clock(band.to, 1));
        if (wide > 70) {
          pen.save();
          pen.beginPath();
          pen.rect(left, top, wide, ROOM);
          pen.clip();
          pen.fillStyle = band.kind === "fault" ? "#96570f" : "#39424e";
          pen.fillText(band.text, left + 5, top + (band.kind === "fault" ? 12 : ROOM - 12));
          pen.restore();
        }
      }
    }
  }

  function arrows() {
    if (!document.getElementById("messages").checked) return;
    const shown = scene.arrows.filter((one) => visible(one.sent, one.got === null ? one.sent : one.got));
    const faint = shown.length > 1500 ? "22" : shown.length > 400 ? "55" : "aa";
    for (const arrow of shown) {
      const lost = arrow.got === null;
      const toward = arrow.to > arrow.from ? 1 : -1;
      const x1 = x(arrow.sent), y1 = y(arrow.from) + 5 * toward;
      const x2 = lost ? x1 + 10 : x(arrow.got), y2 = lost ? y1 + 15 * toward : y(arrow.to) - 5 * toward;
      pen.strokeStyle = pen.fillStyle = lost ? "#c4342d" + faint : "#5b7fa6" + faint;
      pen.beginPath();
      pen.moveTo(x1, y1);
      pen.lineTo(x2, y2);
      pen.stroke();
      const angle = Math.atan2(y2 - y1, x2 - x1);
      pen.beginPath();
      if (lost) {
        pen.moveTo(x2 - 3, y2 - 3); pen.lineTo(x2 + 3, y2 + 3);
        pen.moveTo(x2 - 3, y2 + 3); pen.lineTo(x2 + 3, y2 - 3);
        pen.stroke();
      } else {
        pen.moveTo(x2, y2);
        pen.lineTo(x2 - 6 * Math.cos(angle - 0.4), y2 - 6 * Math.sin(angle - 0.4));
        pen.lineTo(x2 - 6 * Math.cos(angle + 0.4), y2 - 6 * Math.sin(angle + 0.4));
        pen.fill();
      }
      if (shown.length < 400) {
        const text = scene.lanes[arrow.from] + " to " + scene.lanes[arrow.to] + ", " + arrow.bytes + " bytes\nsent "
          + clock(arrow.sent, 1) + (lost ? ", never arrived" : ", arrived " + clock(arrow.got, 1));
        spot(x2 - 5, y2 - 5, 10, 10, text);
      }
    }
  }

  function operations() {
    for (const bar of scene.operations) {
      if (!visible(bar.from, bar.to)) continue;
      const left = Math.max(x(bar.from), LEFT - 4), wide = Math.max(x(bar.to) - left, 3);
      const failed = bar.kind === "failed", top = y(bar.lane) - BAR / 2 - (failed ? 3 : 0);
      const high = BAR + (failed ? 6 : 0);
      pen.fillStyle = COLOURS[bar.kind];
      pen.fillRect(left, top, wide, high);
      spot(left - 2, top, wide + 4, high, bar.text);
      if (wide > 60) {
        pen.save();
        pen.beginPath();
        pen.rect(left, top - 2, wide, high + 4);
        pen.clip();
        pen.fillStyle = bar.kind === "read" || bar.kind === "refused" ? "#1d2733" : "#fff";
        pen.fillText(bar.text, left + 4, y(bar.lane) + 4);
        pen.restore();
      }
    }
  }

  function marks() {
    for (const mark of scene.marks) {
      if (!visible(mark.at, mark.at)) continue;
      const applied = mark.kind === "applied", size = applied ? 2 : 4;
      const top = applied ? y(mark.lane) + 12 : mark.kind === "fault" ? y(mark.lane) - 14 : y(mark.lane);
      pen.fillStyle = COLOURS[mark.kind];
      pen.beginPath();
      pen.arc(x(mark.at), top, size, 0, 7);
      pen.fill();
      spot(x(mark.at) - 5, top - 5, 10, 10, mark.text + "\n" + clock(mark.at, 1));
    }
  }

  function failure() {
    if (scene.failed_at === null || !visible(scene.failed_at, scene.failed_at)) return;
    pen.fillStyle = "#c4342d";
    pen.fillRect(x(scene.failed_at) - 0.75, TOP - 6, 1.5, height);
  }

  function list() {
    const shown = scene.lines.filter((line) => line[0] >= from && line[0] <= to);
    let text = shown.length + " lines between " + clock(from, 1) + " and " + clock(to, 1);
    if (shown.length > LINES_SHOWN) text += "; the first " + LINES_SHOWN + " are shown, zoom in for the others";
    if (from < scene.complete_from) text += "; before " + clock(scene.complete_from, 1) + " some are left out";
    document.getElementById("count").textContent = text;
    document.getElementById("lines").textContent =
      shown.slice(0, LINES_SHOWN).map((line) => line[1]).join("\n");
  }

  function draw() {
    const scale = window.devicePixelRatio || 1;
    width = canvas.clientWidth || 800;
    canvas.width = width * scale;
    canvas.height = height * scale;
    canvas.style.height = height + "px";
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.font = "12px system-ui, sans-serif";
    spots = [];
    lanes(); axis(); bands(); arrows(); operations(); marks(); failure(); names(); list();
  }

  function look(newFrom, newTo) {
    const wide = Math.min(Math.max(newTo - newFrom, 20), scene.end * 1.02 + 20);
    from = Math.max(-wide * 0.02, Math.min(newFrom, scene.end * 1.02 - wide));
    to = from + wide;
    draw();
  }

  function zoom(factor, centre) {
    look(centre - (centre - from) * factor, centre + (to - centre) * factor);
  }

  function toFailure() {
    const at = scene.failed_at;
    const failed = scene.operations.find((one) => one.kind === "failed");
    const begin = failed ? Math.min(failed.from, at) : at;
    const room = Math.max((at - begin) * 0.6, 150000);
    look(begin - room, at + room * 0.4);
  }

  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const at = from + (event.offsetX - LEFT) / (width - LEFT - 14) * (to - from);
    zoom(event.deltaY > 0 ? 1.25 : 0.8, at);
  }, { passive: false });
  let held = null;
  canvas.addEventListener("mousedown", (event) => { held = { x: event.clientX, from, to }; });
  window.addEventListener("mouseup", () => { held = null; });
  window.addEventListener("mousemove", (event) => {
    if (!held) return;
    const moved = (event.clientX - held.x) / (width - LEFT - 14) * (held.to - held.from);
    look(held.from - moved, held.to - moved);
  });
  canvas.addEventListener("mousemove", (event) => {
    const at = (one) => event.offsetX >= one.left && event.offsetX <= one.right
      && event.offsetY >= one.top && event.offsetY <= one.bottom;
    const found = held ? undefined : spots.findLast(at);
    tip.style.display = found ? "block" : "none";
    if (!found) return;
    tip.textContent = found.text;
    tip.style.left = Math.min(event.offsetX + 14, width - 300) + "px";
    tip.style.top = event.offsetY + 60 + "px";
  });
  canvas.addEventListener("mouseleave", () => { tip.style.display = "none"; });
  document.getElementById("whole").onclick = () => look(0, scene.end);
  document.getElementById("closer").onclick = () => zoom(0.4, (from + to) / 2);
  document.getElementById("wider").onclick = () => zoom(2.5, (from + to) / 2);
  document.getElementById("messages").onchange = draw;
  const button = document.getElementById("failure");
  button.onclick = toFailure;
  button.disabled = scene.failed_at === null;
  window.addEventListener("resize", draw);
  if (scene.failed_at === null) look(0, scene.end); else toFailure();
})();
