// Light or dark: as the system says, or as the person chose on this computer.

import { signal } from "@preact/signals";
import { keep, kept } from "../lib/keep";

export type Theme = "system" | "light" | "dark";

const read = (): Theme => {
  const value = kept<string>("theme");
  return value === "light" || value === "dark" ? value : "system";
};

export const theme = signal<Theme>("system");

export function applyTheme(wanted: Theme = read()): void {
  theme.value = wanted;
  if (wanted === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = wanted;
}

export function chooseTheme(wanted: Theme): void {
  keep("theme", wanted === "system" ? undefined : wanted);
  applyTheme(wanted);
}
