// An account's balance, live.

import { useLoad } from "../lib/load";
import type { Hex } from "../rpc/types";
import { call } from "../state/node";
import { Ether } from "./parts";

export function Balance({ at }: { at: string }) {
  const balance = useLoad(async () => BigInt(await call<Hex>("eth_getBalance", at, "latest")), [at], "live");
  if (balance.data === undefined) return <span class="muted">{balance.error ? "the node is away" : "…"}</span>;
  return <Ether wei={balance.data} />;
}
