// A QR code: drawn, downloadable, printable.

import { useMemo } from "preact/hooks";
import { encode } from "uqr";

const quiet = 4;

export function modules(text: string): boolean[][] {
  return encode(text, { ecc: "M", border: 0 }).data;
}

function outline(rows: boolean[][]): string {
  let path = "";
  rows.forEach((row, y) => {
    for (let x = 0; x < row.length; x += 1) {
      if (!row[x]) continue;
      let end = x;
      while (row[end + 1]) end += 1;
      path += `M${x + quiet} ${y + quiet}h${end - x + 1}v1h-${end - x + 1}z`;
      x = end;
    }
  });
  return path;
}

export function Qr({ text, label }: { text: string; label: string }) {
  const rows = useMemo(() => modules(text), [text]);
  const size = rows.length + 2 * quiet;
  return (
    <div class="qr">
      <svg viewBox={`0 0 ${size} ${size}`} role="img" aria-label={label} shape-rendering="crispEdges">
        <rect width={size} height={size} fill="#fff" />
        <path d={outline(rows)} fill="#000" />
      </svg>
    </div>
  );
}

// The code as a PNG file, with so many pixels a module.
export async function png(text: string, scale = 8): Promise<Blob> {
  const rows = modules(text);
  const size = (rows.length + 2 * quiet) * scale;
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = size;
  const paper = canvas.getContext("2d");
  if (!paper) throw new Error("this browser draws no pictures");
  paper.fillStyle = "#fff";
  paper.fillRect(0, 0, size, size);
  paper.fillStyle = "#000";
  rows.forEach((row, y) => row.forEach((dark, x) => dark && paper.fillRect((x + quiet) * scale, (y + quiet) * scale, scale, scale)));
  return new Promise((resolve, reject) => canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("this browser writes no PNG"))), "image/png"));
}
