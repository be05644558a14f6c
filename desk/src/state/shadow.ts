// A device's shadow as this page follows it: what it was, and each change as it comes.

import { useEffect, useState } from "preact/hooks";
import { asError } from "../rpc/error";
import { call, generation, subscribe } from "./node";

export type Json = string | number | boolean | null | Json[] | { [key: string]: Json };
export type Section = { [key: string]: Json };

export interface Change {
  name: string;
  shadow: string | null;
  version: number;
  timestamp: number;
  state: { desired?: Section | null; reported?: Section | null; delta?: Section | null };
  deleted: boolean;
}

export interface Followed {
  // Newest first.
  changes: Change[];
  loading: boolean;
  error?: Error;
}

const keptMax = 200;

// Lays a change among the others: newest first, each version once.
export function withChange(changes: Change[], change: Change): Change[] {
  const others = changes.filter(({ version }) => version !== change.version);
  return [...others, change].sort((a, b) => b.version - a.version).slice(0, keptMax);
}

export function useShadow(name: string | null, shadow: string | null): Followed {
  const [followed, setFollowed] = useState<Followed>({ changes: [], loading: name !== null });
  const turn = generation.value;
  useEffect(() => {
    if (name === null) return setFollowed({ changes: [], loading: false });
    let gone = false;
    const read = () =>
      call<{ items: Omit<Change, "name" | "shadow">[] }>("device_history", name, shadow, { limit: 100 }).then(
        ({ items }) => !gone && setFollowed(({ changes }) => ({ changes: items.map((item) => ({ ...item, name, shadow })).reduce(withChange, changes), loading: false })),
        (thrown: unknown) => !gone && setFollowed(({ changes }) => ({ changes, loading: false, error: asError(thrown) })),
      );
    setFollowed(({ changes }) => ({ changes: changes.filter((change) => change.name === name && change.shadow === shadow), loading: true }));
    void read();
    const stop = subscribe<Change>({
      method: "device_subscribe",
      kind: "shadow",
      option: { name, shadow },
      item: (change) => setFollowed(({ changes }) => ({ changes: withChange(changes, change), loading: false })),
    });
    return () => {
      gone = true;
      stop();
    };
  }, [name, shadow, turn]);
  return followed;
}
