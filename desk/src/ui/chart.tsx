// A line over blocks. uPlot is loaded when the first chart is shown.

import { useEffect, useRef } from "preact/hooks";
import type uPlot from "uplot";
import { theme } from "../state/theme";

export interface Series {
  title: string;
  unit: string;
  // What one value reads as, with its unit.
  show(value: number): string;
  points: [block: number, value: number][];
}

const height = 150;

export function Chart({ title, show, points }: Series) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const shown = useRef({ show, points });
  shown.current = { show, points };
  const latest = points.at(-1);
  const wanted = theme.value;

  useEffect(() => {
    let gone = false;
    let watch: ResizeObserver | undefined;
    void import("./plot").then(({ draw }) => {
      const element = place.current;
      if (gone || !element) return;
      plot.current = draw(element, height, (value) => shown.current.show(value), columns(shown.current.points));
      watch = new ResizeObserver(() => plot.current?.setSize({ width: element.clientWidth, height }));
      watch.observe(element);
    });
    return () => {
      gone = true;
      watch?.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [wanted]);

  useEffect(() => plot.current?.setData(columns(points)), [points]);

  const values = points.map(([, value]) => value);
  const summary = values.length > 0 ? `${title}: from ${show(Math.min(...values))} to ${show(Math.max(...values))} over ${values.length} blocks, now ${show(latest?.[1] ?? 0)}` : title;
  return (
    <figure class="chart-figure">
      <figcaption class="chart-head">
        <span>{title}</span>
        <strong class="number">{latest ? show(latest[1]) : "–"}</strong>
      </figcaption>
      <div class="chart" ref={place} role="img" aria-label={summary} />
    </figure>
  );
}

const columns = (points: [number, number][]): [number[], number[]] => [points.map(([block]) => block), points.map(([, value]) => value)];
