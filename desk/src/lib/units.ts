// Numbers as people read them, each with its unit.

export const count = (value: number | bigint): string => value.toLocaleString("en-US");

export const number = (value: string | number | bigint | null | undefined): number => Number(value ?? 0);

// An amount in wei as decimal text with `decimals` places, without trailing zeros.
export function decimal(value: bigint, decimals: number): string {
  const sign = value < 0n ? "-" : "";
  const digits = (value < 0n ? -value : value).toString().padStart(decimals + 1, "0");
  const whole = digits.slice(0, digits.length - decimals);
  const part = digits.slice(digits.length - decimals).replace(/0+$/, "");
  return sign + whole + (part ? `.${part}` : "");
}

// An amount in wei in the unit in which it reads best; below a gwei it stays in wei.
export function ether(wei: bigint): string {
  const size = wei < 0n ? -wei : wei;
  if (size === 0n) return "0 ETH";
  if (size < 10n ** 9n) return `${count(wei)} wei`;
  if (size < 10n ** 13n) return `${decimal(wei, 9)} gwei`;
  return `${grouped(decimal(wei, 18))} ETH`;
}

const grouped = (text: string) => text.replace(/^-?\d+/, (whole) => whole.replace(/\B(?=(\d{3})+$)/g, ","));

export const gwei = (wei: bigint): string => `${decimal(wei, 9)} gwei`;

// Reads an amount of ether; `null` where it is none.
export function parseEther(text: string): bigint | null {
  const match = /^(\d{1,40})(?:[.,](\d{1,18}))?$/.exec(text.trim());
  if (!match) return null;
  return BigInt(match[1] ?? "0") * 10n ** 18n + BigInt((match[2] ?? "").padEnd(18, "0"));
}

const steps = ["", "k", "M", "G", "T", "P", "E"];

// A rate or amount with a metric prefix, such as `12.3 MH/s`.
export function metric(value: number, unit: string): string {
  if (!Number.isFinite(value)) return `– ${unit}`;
  let step = 0;
  while (Math.abs(value) >= 1000 && step < steps.length - 1) {
    value /= 1000;
    step += 1;
  }
  const digits = step === 0 && Number.isInteger(value) ? 0 : Math.abs(value) < 10 ? 2 : Math.abs(value) < 100 ? 1 : 0;
  return `${value.toFixed(digits)} ${steps[step] ?? ""}${unit}`;
}

export function bytes(value: number): string {
  return value < 1024 ? `${value} ${value === 1 ? "byte" : "bytes"}` : value < 1024 * 1024 ? `${(value / 1024).toFixed(1)} KiB` : `${(value / 1024 / 1024).toFixed(1)} MiB`;
}

// A span of seconds in its two largest units.
export function span(seconds: number): string {
  const sign = seconds < 0 ? "-" : "";
  const size = Math.abs(seconds);
  if (size < 0.0005) return "0 s";
  if (size < 1) return `${sign}${Math.round(size * 1000)} ms`;
  if (size < 10) return `${sign}${Number(size.toFixed(1))} s`;
  const units: [number, string][] = [[86_400, "d"], [3_600, "h"], [60, "min"], [1, "s"]];
  const first = units.findIndex(([length]) => size >= length);
  const [length, unit] = units[first] ?? [1, "s"];
  const next = units[first + 1];
  const rest = next ? Math.floor((size % length) / next[0]) : 0;
  return `${sign}${Math.floor(size / length)} ${unit}${next && rest > 0 ? ` ${rest} ${next[1]}` : ""}`;
}

export function age(timestamp: number, now: number): string {
  const seconds = now - timestamp;
  return seconds < 1 ? "just now" : `${span(Math.floor(seconds))} ago`;
}

export const instant = (timestamp: number): string => !(Math.abs(timestamp) <= 8.64e12) ? "an unknown time" : new Date(timestamp * 1000).toISOString().replace("T", " ").replace(/\.\d+Z$/, " UTC");

export const percent = (share: number): string => `${(share * 100).toFixed(share < 0.1 && share > 0 ? 1 : 0)} %`;

export const short = (hex: string): string => (hex.length > 14 ? `${hex.slice(0, 8)}…${hex.slice(-6)}` : hex);
