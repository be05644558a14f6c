// Pages are named by the part of the address after `#`, so the desk works below any path and without help of the server.

import { signal } from "@preact/signals";

export interface Place {
  parts: string[];
  query: URLSearchParams;
}

export function placeOf(hash: string): Place {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  return { parts: path.split("/").filter(Boolean).map(decode), query: new URLSearchParams(query) };
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

// The address of a page.
export function to(path: string, query: Record<string, string | number | undefined> = {}): string {
  const given = Object.entries(query).filter((entry): entry is [string, string | number] => entry[1] !== undefined && entry[1] !== "");
  const text = new URLSearchParams(given.map(([key, value]) => [key, String(value)])).toString();
  return `#/${path.replace(/^\//, "")}${text ? `?${text}` : ""}`;
}

export const place = signal<Place>(placeOf(typeof location === "undefined" ? "" : location.hash));

export function go(address: string): void {
  location.hash = address;
}

// The whole address of a page, to hand to somebody.
export const link = (address: string): string => new URL(address, location.href).href;

export function follow(): void {
  addEventListener("hashchange", () => {
    place.value = placeOf(location.hash);
  });
}
