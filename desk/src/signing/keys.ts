// The keys of this page. Open ones are in memory until the page is closed; files stay encrypted, in this browser only where the person wishes.

import { signal } from "@preact/signals";
import { keep, kept } from "../lib/keep";
import type { Hex } from "../rpc/types";
import { accounts, choose, keyAccounts, lower, type Account } from "./accounts";
import type { Keystore } from "./keystore";

const open = new Map<Hex, Uint8Array>();

// The encrypted files that this page knows, by address.
export const files = signal<Record<Hex, Keystore>>(kept<Record<Hex, Keystore>>("keys") ?? {});
export const opened = signal<Hex[]>([]);

const shown = (): Account[] =>
  [...new Set([...(Object.keys(files.value) as Hex[]), ...open.keys()])].map((address) => ({ kind: "key", address, name: open.has(address) ? "key in this page" : "key in this page, locked" }));

function tell(): void {
  opened.value = [...open.keys()];
  keyAccounts.value = shown();
}
tell();

export function hold(address: string, key: Uint8Array): void {
  open.set(lower(address), key);
  tell();
  choose({ kind: "key", address: lower(address) });
}

export function keyOf(address: string): Uint8Array | undefined {
  return open.get(lower(address));
}

export function lock(address: string): void {
  open.get(lower(address))?.fill(0);
  open.delete(lower(address));
  tell();
}

// Remembers an encrypted file; in this browser too, where `stays`. Tells whether it was kept.
export function addFile(file: Keystore, stays: boolean): boolean {
  const address = lower(`0x${file.address}`);
  files.value = { ...files.value, [address]: file };
  tell();
  return stays && keep("keys", { ...(kept<Record<Hex, Keystore>>("keys") ?? {}), [address]: file });
}

export function forget(address: string): void {
  const { [lower(address)]: _, ...others } = files.value;
  files.value = others;
  const { [lower(address)]: __, ...stay } = kept<Record<Hex, Keystore>>("keys") ?? {};
  keep("keys", Object.keys(stay).length > 0 ? stay : undefined);
  lock(address);
  if (!accounts.value.some((account) => account.address === lower(address))) choose(undefined);
}
