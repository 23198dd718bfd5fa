// Charts are drawn by Chart.js; each has the same as a table for whoever cannot see it.
import { h, table } from "./dom.js";

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** A chart of `series` ({label, color, values}) over `labels`; `kind` is line or bar. */
export function chart(title, kind, labels, series) {
  const canvas = h("canvas", { role: "img", "aria-label": `${title}; the numbers are in the table below` });
  const box = h("figure", {}, h("figcaption", {}, h("h2", {}, title)), h("div", { class: "chart" }, canvas),
    h("details", {}, h("summary", {}, "As a table"), table(title, ["Time", ...series.map((s) => s.label)],
      labels.map((label, i) => [label, ...series.map((s) => `${s.values[i]}`)]), series.map((_, i) => i + 1))));
  queueMicrotask(() => {
    if (!box.isConnected || typeof Chart === "undefined") return;
    Chart.defaults.color = color("--faint");
    Chart.defaults.borderColor = color("--line");
    new Chart(canvas, {
      type: kind,
      data: {
        labels,
        datasets: series.map((s) => ({
          label: s.label, data: s.values, borderColor: color(s.color), backgroundColor: color(s.color), pointRadius: 0, borderWidth: 2, tension: 0.2, maxBarThickness: 24,
          borderDash: s.dash ? [6, 4] : [],
        })),
      },
      options: {
        animation: false, responsive: true, maintainAspectRatio: false, interaction: { mode: "index", intersect: false },
        scales: { x: { stacked: kind === "bar", ticks: { maxTicksLimit: 8 } }, y: { beginAtZero: true, stacked: kind === "bar" } },
      },
    });
  });
  return box;
}
