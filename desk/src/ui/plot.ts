// uPlot, in the desk's colours.

import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";

const colour = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export function draw(element: HTMLElement, height: number, show: (value: number) => string, data: [number[], number[]]): uPlot {
  const grid = { stroke: colour("--line"), width: 1 };
  const axis = { stroke: colour("--muted"), grid, ticks: grid, font: "11px system-ui, sans-serif" };
  return new uPlot(
    {
      width: element.clientWidth,
      height,
      cursor: { y: false, drag: { x: false, y: false } },
      legend: { show: false },
      scales: { x: { time: false }, y: { range: (_, low, high) => [Math.min(0, low), high > 0 ? high * 1.1 : 1] } },
      axes: [
        { ...axis, size: 26, values: (_, marks) => marks.map((mark) => (Number.isInteger(mark) ? mark.toLocaleString("en-US") : "")) },
        { ...axis, size: 92, values: (_, marks) => marks.map(show) },
      ],
      series: [{}, { stroke: colour("--chart"), width: 1.5, fill: `${colour("--chart")}22`, points: { show: false } }],
    },
    data,
    element,
  );
}
