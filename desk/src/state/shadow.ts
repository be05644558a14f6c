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

// A version as the node tells it; that of a deleted shadow has no state.
type Told = Omit<Change, "state" | "deleted" | "name" | "shadow"> & { state: Change["state"] | null; deleted?: boolean };

const changeOf = (told: Told, name: string, shadow: string | null): Change => ({ name, shadow, version: told.version, timestamp: told.timestamp, state: told.state ?? {}, deleted: told.deleted ?? told.state === null });

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
      call<{ items: Told[] }>("device_history", name, shadow, { limit: 100 }).then(
        ({ items }) => !gone && setFollowed(({ changes }) => ({ changes: items.map((item) => changeOf(item, name, shadow)).reduce(withChange, changes), loading: false })),
        (thrown: unknown) => !gone && setFollowed(({ changes }) => ({ changes, loading: false, error: asError(thrown) })),
      );
    setFollowed(({ changes }) => ({ changes: changes.filter((change) => change.name === name && change.shadow === shadow), loading: true }));
    void read();
    const stop = subscribe<Told>({
      method: "device_subscribe",
      kind: "shadow",
      option: { name, shadow },
      item: (told) => setFollowed(({ changes }) => ({ changes: withChange(changes, changeOf(told, name, shadow)), loading: false })),
    });
    return () => {
      gone = true;
      stop();
    };
  }, [name, shadow, turn]);
  return followed;
}
